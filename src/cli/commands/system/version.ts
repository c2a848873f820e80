import { arch as machine } from "node:os";
import { Struct, type Template, VERSION } from "../../../lib/mod.ts";
import { CLIENT_API_VERSION } from "../../../sdk/mod.ts";
import type { SystemVersion } from "../../../spec/engine/mod.ts";
import { command, ExitError, NO_ARGS } from "../../command.ts";
import type { Context } from "../../context.ts";
import { contextName } from "../../contexts/endpoint.ts";
import { errorText } from "../../error-text.ts";
import { INSPECT_FORMAT } from "../../inspect.ts";

/** What `--version` prints. Scripts read docker's form of it. */
export function versionLine(program: string): string {
  return program === "docker" ? `Docker version ${VERSION}, build dhow\n` : `dhow version ${VERSION}\n`;
}

interface ClientInfo {
  readonly Version: string;
  readonly ApiVersion: string;
  readonly DefaultAPIVersion: string;
  readonly GitCommit: string;
  readonly GoVersion: string;
  readonly Os: string;
  readonly Arch: string;
  readonly BuildTime: string;
  readonly Context: string;
}

const ARCH: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

function clientInfo(apiVersion: string, context: string): ClientInfo {
  return {
    Version: VERSION,
    ApiVersion: apiVersion,
    DefaultAPIVersion: CLIENT_API_VERSION,
    GitCommit: "",
    GoVersion: "",
    Os: "linux",
    Arch: ARCH[machine()] ?? machine(),
    BuildTime: "",
    Context: context,
  };
}

type Row = readonly [string, string | undefined];

function rows(indent: string, list: readonly Row[]): string {
  return list
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${indent}${`${name}:`.padEnd(20 - indent.length)}${value}\n`)
    .join("");
}

function clientText(client: ClientInfo): string {
  const api =
    client.ApiVersion === client.DefaultAPIVersion
      ? client.ApiVersion
      : `${client.ApiVersion} (downgraded from ${client.DefaultAPIVersion})`;
  return `Client:\n${rows(" ", [
    ["Version", client.Version],
    ["API version", api],
    ["OS/Arch", `${client.Os}/${client.Arch}`],
    ["Context", client.Context],
  ])}`;
}

const DETAIL_NAMES: Readonly<Record<string, string>> = {
  ApiVersion: "API version",
  MinAPIVersion: "",
  GoVersion: "Go version",
  GitCommit: "Git commit",
  BuildTime: "Built",
};

function componentText(name: string, version: string, details: Readonly<Record<string, string>>): string {
  if (name !== "Engine") {
    const own = Object.entries(details).filter(([key]) => key === "GitCommit");
    return ` ${name}:\n${rows("  ", [["Version", version], ...own])}`;
  }
  const { ApiVersion, MinAPIVersion, GoVersion, GitCommit, BuildTime, Os, Arch, Experimental } = details;
  const built = BuildTime === undefined ? undefined : builtText(BuildTime);
  return ` Engine:\n${rows("  ", [
    ["Version", version],
    [DETAIL_NAMES["ApiVersion"] ?? "", `${ApiVersion} (minimum version ${MinAPIVersion})`],
    ["Go version", GoVersion],
    ["Git commit", GitCommit],
    ["Built", built || undefined],
    ["OS/Arch", `${Os}/${Arch}`],
    ["Experimental", Experimental],
  ])}`;
}

function builtText(time: string): string {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return time;
  const [day = "", dayOfMonth = "", month = "", year = "", clock = ""] = date.toUTCString().replace(",", "").split(" ");
  return `${day} ${month} ${String(Number(dayOfMonth)).padStart(2)} ${clock} ${year}`;
}

function serverText(server: SystemVersion): string {
  const platform = server.Platform?.Name ? ` ${server.Platform.Name}` : "";
  const components = server.Components ?? [];
  const list =
    components.length > 0
      ? components
      : [{ Name: "Engine", Version: server.Version ?? "", Details: server as Readonly<Record<string, unknown>> }];
  const texts = list.map(({ Name, Version, Details }) =>
    componentText(Name ?? "", Version ?? "", (Details ?? {}) as Readonly<Record<string, string>>),
  );
  return `\nServer:${platform}\n${texts.join("")}`;
}

/** A template sees Go's fields: the one that JSON spells differently is found where the template asks for what isn't in the JSON. */
function formatted(compiled: Template, client: ClientInfo, server: SystemVersion): string {
  try {
    return compiled({ Client: client, Server: server });
  } catch {
    const asGo = (type: string, version: ClientInfo | SystemVersion): Struct => {
      const { ApiVersion: APIVersion, ...rest } = version;
      return new Struct(type, { ...rest, APIVersion });
    };
    return compiled({ Client: asGo("system.clientVersion", client), Server: asGo("*types.Version", server) });
  }
}

async function fetchServer(
  ctx: Context,
): Promise<{ readonly server: SystemVersion | null; readonly api: string; readonly error: unknown }> {
  try {
    const api = await ctx.api.apiVersion();
    return { server: await ctx.api.system.version(), api, error: undefined };
  } catch (error) {
    return { server: null, api: CLIENT_API_VERSION, error };
  }
}

export const version = command({
  use: "[OPTIONS]",
  short: "Show the Docker version information",
  args: NO_ARGS,
  flags: { format: INSPECT_FORMAT },
  run: async (ctx, _args, flags) => {
    const format = flags.format === "json" ? "{{json .}}" : flags.format;
    const compile = (await import("../../../lib/mod.ts")).template;
    let compiled: ReturnType<typeof compile> | undefined;
    try {
      compiled = format === "" ? undefined : compile(format, { name: "version", isMissingKeyError: true });
    } catch (error) {
      throw new ExitError(64, `template parsing error: ${(error as Error).message}`);
    }
    const { server, api, error } = await fetchServer(ctx);
    const client = clientInfo(api, contextName(ctx.endpointSource));
    if (compiled === undefined) ctx.stdout.write(clientText(client) + (server === null ? "" : serverText(server)));
    else ctx.out(server === null ? "" : formatted(compiled, client, server));
    if (error !== undefined) throw new ExitError(1, errorText(error));
  },
});
