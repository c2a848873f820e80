import { mkdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoCode, writeFileAtomic } from "../../lib/mod.ts";

/** The part of docker's config.json that matters here; whatever else it holds stays. */
interface ConfigFile extends Readonly<Record<string, unknown>> {
  readonly currentContext?: string;
}

function readConfig(configDir: string): ConfigFile {
  try {
    const value: unknown = JSON.parse(readFileSync(join(configDir, "config.json"), "utf8"));
    return typeof value === "object" && value !== null ? (value as ConfigFile) : {};
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return {};
    throw new Error(`loading config file: ${join(configDir, "config.json")}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** The context that `context use` chose; empty when none is. */
export function currentContext(configDir: string): string {
  const { currentContext } = readConfig(configDir);
  return typeof currentContext === "string" ? currentContext : "";
}

/** Chooses a context; the empty name is the default one. */
export function setCurrentContext(configDir: string, name: string): void {
  const { currentContext: before, ...rest } = readConfig(configDir);
  if ((before ?? "") === name) return;
  const config = { auths: {}, ...rest, ...(name === "" ? {} : { currentContext: name }) };
  mkdirSync(configDir, { recursive: true, mode: 0o700 });
  const path = join(configDir, "config.json");
  let mode = 0o600;
  let target = path;
  try {
    // where it is a link, as dotfiles often are, the file behind it is written
    target = realpathSync(path);
    mode = statSync(target).mode & 0o777;
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  writeFileAtomic(target, JSON.stringify(config, undefined, "\t"), { mode });
}
