import type { Filters } from "../spec/engine/mod.ts";
import { type ConfigFile, readConfig } from "./config-file.ts";
import type { Context } from "./context.ts";
import { resolveEndpoint } from "./contexts/endpoint.ts";

/** What a user has set for commands in docker's config.json. @see https://docs.docker.com/reference/cli/docker/#configuration-files */

type Where = Pick<Context, "configDir">;

/** The keys whose values stand in for a flag that is not given. */
type TextKey = "psFormat" | "imagesFormat" | "networksFormat" | "volumesFormat" | "statsFormat" | "detachKeys";

function textOf(config: ConfigFile, key: TextKey): string {
  const value = config[key];
  return typeof value === "string" ? value : "";
}

/** The flag's value, or the user's own when that is empty. */
export function orSetting(ctx: Where, key: TextKey, given: string): string {
  return given === "" ? textOf(readConfig(ctx.configDir), key) : given;
}

/** The `--format` of a list; with `--quiet` the user's own doesn't count. */
export function listFormat(ctx: Where, key: TextKey, { format, quiet }: { readonly format: string; readonly quiet: boolean }): string {
  return quiet ? format : orSetting(ctx, key, format);
}

/** The filters of a prune: with those of `pruneFilters`, unless a given one says the opposite. */
export function pruneFilters(ctx: Where, given: Filters): Filters {
  const own = readConfig(ctx.configDir)["pruneFilters"];
  const filters: Record<string, readonly string[]> = { ...given };
  for (const text of Array.isArray(own) ? own.map(String) : []) {
    const at = text.indexOf("=");
    if (at < 0) continue;
    const [key, value] = [text.slice(0, at), text.slice(at + 1)];
    const opposite = key === "label" ? "label!" : key === "label!" ? "label" : undefined;
    if (opposite !== undefined && filters[opposite]?.includes(value)) continue;
    filters[key] = [...new Set([...(filters[key] ?? []), value])];
  }
  return filters;
}

const PROXIES = { httpProxy: "HTTP_PROXY", httpsProxy: "HTTPS_PROXY", noProxy: "NO_PROXY", ftpProxy: "FTP_PROXY", allProxy: "ALL_PROXY" };

/** Variables that new containers get of `proxies`: those of the engine's host, else the default's, in both spellings, unless they are given. */
export function proxyVariables(ctx: Where & Pick<Context, "endpointSource">, given: readonly string[]): readonly string[] {
  const all = readConfig(ctx.configDir)["proxies"] as Readonly<Record<string, Readonly<Record<string, unknown>> | undefined>> | undefined;
  if (typeof all !== "object" || all === null) return [];
  const own = all[resolveEndpoint(ctx.endpointSource).host] ?? all["default"] ?? {};
  const names = new Set(given.map((text) => text.split("=", 1)[0]));
  return Object.entries(PROXIES).flatMap(([key, name]) => {
    const value = own[key];
    if (typeof value !== "string" || value === "") return [];
    return [name, name.toLowerCase()].filter((variable) => !names.has(variable)).map((variable) => `${variable}=${value}`);
  });
}
