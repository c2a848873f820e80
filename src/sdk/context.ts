/** Docker's contexts, as its command line keeps them: where an engine is, and how to speak with it, under a name. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { DhowError, errnoCode, errorMessage } from "../lib/mod.ts";
import type { TlsOptions } from "./tls.ts";

/** The context that is none: what the environment, or nothing at all, says. */
export const DEFAULT_CONTEXT = "default";

/** An engine as a context names it. */
export interface ContextEndpoint {
  /** Empty where it says none. */
  readonly host: string;
  readonly tls: TlsOptions | undefined;
}

interface Meta {
  readonly Endpoints?: Readonly<Record<string, { readonly Host?: string; readonly SkipTLSVerify?: boolean }>>;
}

/** The context that `docker context use` chose; undefined when there is none. @throws invalid when config.json is broken */
export function currentContext(configDir: string): string | undefined {
  const config = readJson<{ readonly currentContext?: string }>(join(configDir, "config.json"));
  return config?.currentContext || undefined;
}

/**
 * The engine of a context.
 * @throws notFound in docker's words, invalid when its file is broken
 * @see https://github.com/docker/cli/blob/v28.2.2/cli/context/store/store.go
 */
export function contextEndpoint(name: string, configDir: string): ContextEndpoint {
  const id = createHash("sha256").update(name).digest("hex");
  const path = join(configDir, "contexts/meta", id, "meta.json");
  const meta = readJson<Meta>(path);
  if (meta === undefined) {
    const why = `open ${path}: no such file or directory`;
    throw new DhowError("notFound", `context ${JSON.stringify(name)}: context not found: ${why}`);
  }
  const endpoint = meta.Endpoints?.["docker"];
  if (endpoint === undefined) throw new DhowError("invalid", `context ${JSON.stringify(name)}: no docker endpoint`);
  const isVerified = !(endpoint.SkipTLSVerify ?? false);
  const { "ca.pem": ca, "cert.pem": cert, "key.pem": key } = readFiles(join(configDir, "contexts/tls", id, "docker"));
  const hasTls = !isVerified || ca !== undefined || cert !== undefined || key !== undefined;
  return { host: endpoint.Host ?? "", tls: hasTls ? { ca, cert, key, isVerified } : undefined };
}

function readJson<T>(path: string): T | undefined {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as T;
  } catch (cause) {
    if (errnoCode(cause) === "ENOENT" || errnoCode(cause) === "ENOTDIR") return undefined;
    throw new DhowError("invalid", `read ${path}: ${errorMessage(cause)}`, { cause });
  }
}

function readFiles(dir: string): Readonly<Record<string, string>> {
  try {
    return Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), "utf8")]));
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return {};
    throw error;
  }
}
