import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** One archive that the machine's apt reads. */
export interface AptSource {
  readonly uri: string;
  readonly suite: string;
  readonly components: readonly string[];
  /** Path of a keyring; undefined = the trusted ones. */
  readonly signedBy: string | undefined;
}

const ROOT = "/etc/apt";

/** Reads the one-line form: `deb [signed-by=…] uri suite components…`. */
export function parseOneLine(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)((?:\s+[^#\s]+)*)/.exec(line);
    if (!match) return [];
    const [, options = "", uri = "", suite = "", components = ""] = match;
    const signedBy = /(?:^|\s)signed-by=(\/\S+)/i.exec(options)?.[1];
    return [{ uri, suite, components: components.split(/\s+/).filter(Boolean), signedBy }];
  });
}

/** Reads the deb822 form (`*.sources`). */
export function parseDeb822(text: string): AptSource[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map<string, string>();
    let last = "";
    for (const line of stanza.split("\n")) {
      if (line.startsWith("#")) continue;
      const match = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
      if (match) {
        last = (match[1] ?? "").toLowerCase();
        fields.set(last, match[2] ?? "");
      } else if (/^\s/.test(line)) fields.set(last, `${fields.get(last) ?? ""}\n${line.trim()}`);
    }
    const words = (name: string): string[] => (fields.get(name) ?? "").split(/\s+/).filter(Boolean);
    if (!words("types").includes("deb") || /^(no|false)$/i.test(fields.get("enabled")?.trim() ?? "")) return [];
    const signedBy = /^\/\S+$/.exec(fields.get("signed-by")?.trim() ?? "")?.[0];
    const components = words("components");
    return words("uris").flatMap((uri) => words("suites").map((suite) => ({ uri, suite, components, signedBy })));
  });
}

/** What the machine's apt is told to read, in apt's order. */
export function hostAptSources(root = ROOT): AptSource[] {
  const read = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");
  const directory = join(root, "sources.list.d");
  const parts = existsSync(directory) ? readdirSync(directory).sort() : [];
  return [
    ...parseOneLine(read(join(root, "sources.list"))),
    ...parts.flatMap((name) => {
      if (name.endsWith(".list")) return parseOneLine(read(join(directory, name)));
      return name.endsWith(".sources") ? parseDeb822(read(join(directory, name))) : [];
    }),
  ];
}

/**
 * The machine's archives of its own release (`codename`), turned to another suite of the same distribution: `bookworm-updates` becomes
 * `trixie-updates`. Suites without updates (sid, unstable) get the main archive alone.
 */
export function sourcesForSuite(sources: readonly AptSource[], codename: string, suite: string): AptSource[] {
  const isRolling = suite === "sid" || suite === "unstable" || suite === "experimental";
  const found = sources.flatMap((source): AptSource[] => {
    const rest = source.suite.startsWith(codename) ? source.suite.slice(codename.length) : null;
    if (rest === null || !["", "-updates", "-security"].includes(rest) || (isRolling && rest !== "")) return [];
    return [{ ...source, suite: suite + rest }];
  });
  return found.filter((a, i) => found.findIndex((b) => a.uri === b.uri && a.suite === b.suite) === i);
}

/** An apt source as a line of sources.list. */
export function formatSource(source: AptSource, components: readonly string[]): string {
  const signed = source.signedBy === undefined ? "" : `[signed-by=${source.signedBy}] `;
  return `deb ${signed}${source.uri} ${source.suite} ${components.join(" ")}`;
}

/** The proxies that the machine's apt is configured with, as the environment variables that every downloader reads. */
export function aptProxyEnvironment(): Record<string, string> {
  const result = spawnSync("apt-config", ["shell", "http", "Acquire::http::Proxy", "https", "Acquire::https::Proxy"], { encoding: "utf8" });
  if (result.status !== 0) return {};
  const value = (name: string): string | undefined => new RegExp(`^${name}='([^']*)'`, "m").exec(result.stdout)?.[1];
  const http = value("http");
  const https = value("https") ?? http;
  const isProxy = (text: string | undefined): text is string => text !== undefined && text !== "" && text !== "DIRECT";
  return { ...(isProxy(http) ? { http_proxy: http } : {}), ...(isProxy(https) ? { https_proxy: https } : {}) };
}
