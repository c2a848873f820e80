/** The proxies through which the daemon reaches registries and what it downloads. */
import type { Logger } from "../lib/mod.ts";

/** As given, by settings or else by the environment; empty: none. */
export interface Proxies {
  readonly http: string;
  readonly https: string;
  /** Who is reached without, separated by commas. */
  readonly none: string;
}

/** The flags, the fields, and the variables that programs look at. */
const SETTINGS = [
  ["http-proxy", "http", ["HTTP_PROXY", "http_proxy"]],
  ["https-proxy", "https", ["HTTPS_PROXY", "https_proxy"]],
  ["no-proxy", "none", ["NO_PROXY", "no_proxy"]],
] as const;

type Environment = Readonly<Record<string, string | undefined>>;

/** What the settings say counts, then the environment. */
export function proxies(setting: (name: string) => string, env: Environment): Proxies {
  const [http, https, none] = SETTINGS.map(([name, , variables]) => setting(name) || (variables.map((v) => env[v]).find(Boolean) ?? ""));
  return { http: http ?? "", https: https ?? "", none: none ?? "" };
}

/** A URL without the name and the password in it. */
export function maskCredentials(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1xxxxx:xxxxx@");
}

/** What may be shown of them. */
export function shownProxies({ http, https, none }: Proxies): Proxies {
  return { http: maskCredentials(http), https: maskCredentials(https), none };
}

/** Never asked through a proxy: what Go's programs spare, too. */
const OWN = ["localhost", "127.0.0.0/8", "::1"];

/** Puts proxies into force for this process and those that it starts; the hosts `direct` are reached without. */
export function useProxies(used: Proxies, direct: readonly string[], log: Logger): void {
  if (used.http === "" && used.https === "") return;
  for (const [, field, variables] of SETTINGS) {
    const value = field === "none" ? [used.none, ...OWN, ...direct].filter(Boolean).join(",") : used[field];
    if (value === "") continue;
    for (const name of variables) {
      const before = process.env[name] ?? "";
      if (before !== "" && before !== value)
        log.warn("overriding existing proxy variable with value from configuration", {
          name,
          "old-value": maskCredentials(before),
          "new-value": maskCredentials(value),
        });
      process.env[name] = value;
    }
  }
}
