import { Struct } from "../../../lib/mod.ts";
import { command, NO_ARGS } from "../../command.ts";
import type { Context } from "../../context.ts";
import { DEFAULT_DESCRIPTION, wholeContext } from "../../contexts/docker-endpoint.ts";
import { contextName, overridingVariable } from "../../contexts/endpoint.ts";
import { type ContextMeta, ContextNotFound, ContextStore, DEFAULT_CONTEXT } from "../../contexts/store.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { naturalCompare } from "../../format/names.ts";
import { formatRows } from "../../format/table.ts";
import { ellipsis } from "../../format/text.ts";

const HEADERS = { Name: "NAME", Description: "DESCRIPTION", DockerEndpoint: "DOCKER ENDPOINT", Error: "ERROR", Current: "" };
const ERROR_COLUMNS = 45;

interface Row {
  readonly name: string;
  readonly description: string;
  readonly endpoint: string;
  readonly error: string;
}

function rowOf({ Name, Metadata, Endpoints }: ContextMeta): Row {
  const { Description = "" } = Metadata;
  const description = Name === DEFAULT_CONTEXT ? DEFAULT_DESCRIPTION : Description;
  return { name: Name, description, endpoint: Endpoints["docker"]?.Host ?? "", error: "" };
}

/** All contexts, and the one in use also when there is none of its name. */
function rowsOf(ctx: Context, current: string): readonly Row[] {
  const store = new ContextStore(ctx.configDir);
  const rows = [...store.list(), wholeContext(ctx.endpointSource, DEFAULT_CONTEXT).meta].map(rowOf);
  if (rows.every(({ name }) => name !== current)) {
    try {
      rows.push(rowOf(store.get(current)));
    } catch (error) {
      if (!(error instanceof ContextNotFound)) throw error;
      rows.push({ name: current, description: "", endpoint: "", error: error.message });
    }
  }
  return rows.sort((a, b) => naturalCompare(a.name, b.name));
}

export const contextLs = command({
  use: "[OPTIONS]",
  short: "List contexts",
  aliases: ["context ls", "context list"],
  args: NO_ARGS,
  flags: {
    format: { kind: STRING, help: FORMAT_HELP },
    quiet: { kind: BOOLEAN, short: "q", help: "Only show context names" },
  },
  run: async (ctx, _args, flags) => {
    const current = contextName(ctx.endpointSource);
    const rows = rowsOf(ctx, current).map(
      (row) =>
        new Struct("*formatter.clientContextContext", {
          Name: () => row.name,
          Description: () => row.description,
          DockerEndpoint: () => row.endpoint,
          Current: () => row.name === current,
          Error: () => ellipsis(row.error, ERROR_COLUMNS),
        }),
    );
    const isDefault = flags.format === "" || flags.format === "table";
    const table = flags.quiet ? "{{.Name}}" : "table {{.Name}}{{if .Current}} *{{end}}\t{{.Description}}\t{{.DockerEndpoint}}\t{{.Error}}";
    ctx.stdout.write(formatRows({ format: isDefault ? table : flags.format, headers: HEADERS, rows }));
    const variable = overridingVariable(ctx.env);
    if (variable === undefined || flags.quiet) return;
    ctx.warn(
      `Warning: ${variable} environment variable overrides the active context. To use a context, either set the global --context flag, or unset ${variable} environment variable.`,
    );
  },
});
