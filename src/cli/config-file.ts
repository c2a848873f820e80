import { mkdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoCode, writeFileAtomic } from "../lib/mod.ts";

/** Credentials of one registry, as they are kept. */
export interface AuthEntry {
  /** `user:password` in base64. */
  readonly auth?: string;
  readonly identitytoken?: string;
}

/** The part of docker's config.json that matters here; whatever else it holds stays. */
export interface ConfigFile extends Readonly<Record<string, unknown>> {
  readonly auths?: Readonly<Record<string, AuthEntry>>;
  readonly credsStore?: string;
  readonly credHelpers?: Readonly<Record<string, string>>;
  readonly currentContext?: string;
}

/** Where it is. */
export function configPath(configDir: string): string {
  return join(configDir, "config.json");
}

/** Reads docker's config.json; without one it is empty. @throws Error in docker's words when it is no JSON */
export function readConfig(configDir: string): ConfigFile {
  const path = configPath(configDir);
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof value === "object" && value !== null ? (value as ConfigFile) : {};
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return {};
    throw new Error(`loading config file: ${path}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Replaces config.json in one step; a new one is its owner's alone. */
export function writeConfig(configDir: string, config: ConfigFile): void {
  mkdirSync(configDir, { recursive: true, mode: 0o700 });
  const path = configPath(configDir);
  let mode = 0o600;
  let target = path;
  try {
    // where it is a link, as dotfiles often are, the file behind it is written
    target = realpathSync(path);
    mode = statSync(target).mode & 0o777;
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  const { auths, ...rest } = config;
  writeFileAtomic(target, JSON.stringify({ auths: auths ?? {}, ...rest }, undefined, "\t"), { mode });
}
