import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { digestHex, digestOf, errnoCode, writeFileAtomic } from "../../lib/mod.ts";
import { fileError } from "../env-file.ts";

/** The name of what -H, the environment, or nothing at all says. */
export const DEFAULT_CONTEXT = "default";

/** How an engine is reached; fields that dhow doesn't know stay as they are. */
export interface DockerEndpoint extends Readonly<Record<string, unknown>> {
  readonly Host?: string;
  readonly SkipTLSVerify?: boolean;
}

/** A context as its file holds it. */
export interface ContextMeta {
  readonly Name: string;
  readonly Metadata: Readonly<Record<string, unknown>> & { readonly Description?: string };
  readonly Endpoints: Readonly<Record<string, DockerEndpoint>>;
}

/** TLS material by the files' names: ca.pem, cert.pem, key.pem. */
export type TlsFiles = Readonly<Record<string, string>>;

/** There is no context of a name. */
export class ContextNotFound extends Error {}

/**
 * Contexts, in docker's own files, so that both command lines see the same.
 * ```
 * <config>/contexts/meta/<sha256 of the name>/meta.json
 * <config>/contexts/tls/<sha256 of the name>/<endpoint>/{ca,cert,key}.pem      readable by the owner alone
 * ```
 * @see https://github.com/docker/cli/blob/v28.2.2/cli/context/store/store.go
 */
export class ContextStore {
  readonly #root: string;

  constructor(configDir: string) {
    this.#root = join(configDir, "contexts");
  }

  metaPath(name: string): string {
    return join(this.#root, "meta", digestHex(digestOf(name)));
  }

  tlsPath(name: string): string {
    return join(this.#root, "tls", digestHex(digestOf(name)));
  }

  has(name: string): boolean {
    try {
      this.get(name);
      return true;
    } catch (error) {
      if (error instanceof ContextNotFound) return false;
      throw error;
    }
  }

  /** @throws ContextNotFound in docker's words */
  get(name: string): ContextMeta {
    const path = join(this.metaPath(name), "meta.json");
    try {
      return parseMeta(readFileSync(path, "utf8"), path);
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") throw error;
      throw new ContextNotFound(`context ${JSON.stringify(name)}: context not found: ${fileError("open", path, error).message}`);
    }
  }

  /** In the order of their names. */
  list(): readonly ContextMeta[] {
    const dir = join(this.#root, "meta");
    const found = entries(dir).flatMap((id) => {
      const path = join(dir, id, "meta.json");
      try {
        return [parseMeta(readFileSync(path, "utf8"), path)];
      } catch (error) {
        if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return [];
        throw error;
      }
    });
    return found.sort((a, b) => (a.Name < b.Name ? -1 : 1));
  }

  /** The names of an endpoint's files, for every endpoint that has some. */
  tlsNames(name: string): Readonly<Record<string, readonly string[]>> {
    const root = this.tlsPath(name);
    const all = entries(root).map((endpoint) => [endpoint, entries(join(root, endpoint)).sort()] as const);
    return Object.fromEntries(all.filter(([, files]) => files.length > 0));
  }

  tlsFiles(name: string, endpoint: string): TlsFiles {
    const dir = join(this.tlsPath(name), endpoint);
    return Object.fromEntries(
      entries(dir)
        .toSorted()
        .map((file) => [file, readFileSync(join(dir, file), "utf8")]),
    );
  }

  /** Writes a context; with `tls`, each named endpoint's files become these. The context is there when its files are. */
  put(meta: ContextMeta, tls: Readonly<Record<string, TlsFiles>> = {}): void {
    mkdirSync(this.#root, { recursive: true, mode: 0o755 });
    for (const [endpoint, files] of Object.entries(tls)) this.#putTls(meta.Name, endpoint, files);
    const dir = this.metaPath(meta.Name);
    mkdirSync(dir, { recursive: true, mode: 0o755 });
    writeFileAtomic(join(dir, "meta.json"), JSON.stringify(meta));
  }

  #putTls(name: string, endpoint: string, files: TlsFiles): void {
    const dir = join(this.tlsPath(name), endpoint);
    rmSync(dir, { recursive: true, force: true });
    if (Object.keys(files).length === 0) return;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    for (const [file, text] of Object.entries(files)) writeFileAtomic(join(dir, file), text, { mode: 0o600 });
  }

  remove(name: string): void {
    rmSync(this.metaPath(name), { recursive: true, force: true });
    rmSync(this.tlsPath(name), { recursive: true, force: true });
  }
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return [];
    throw error;
  }
}

/** Reads a meta.json. @throws Error when it is none */
export function parseMeta(text: string, path: string): ContextMeta {
  let value: Partial<ContextMeta> | null;
  try {
    value = JSON.parse(text) as Partial<ContextMeta> | null;
  } catch (cause) {
    throw new Error(`parsing ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
  }
  if (typeof value !== "object" || value === null || typeof value.Name !== "string") throw new Error(`parsing ${path}: it is no context`);
  return { Name: value.Name, Metadata: value.Metadata ?? {}, Endpoints: value.Endpoints ?? {} };
}

/** @throws Error in docker's words */
export function checkContextName(name: string): void {
  if (name === "") throw new Error("context name cannot be empty");
  if (name === DEFAULT_CONTEXT) throw new Error(`"${DEFAULT_CONTEXT}" is a reserved context name`);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/.test(name))
    throw new Error(`context name ${JSON.stringify(name)} is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"`);
}
