import { readFile, stat } from "node:fs/promises";
import { DhowError } from "../lib/mod.ts";

/** Where a plug-in listens. */
export interface PluginAddress {
  /** Without a slash at its end; of a socket `http://plugin`. */
  readonly url: string;
  readonly socket?: string;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string; readonly rejectUnauthorized: boolean };
}

interface TlsFiles {
  readonly CAFile?: string;
  readonly CertFile?: string;
  readonly KeyFile?: string;
  readonly InsecureSkipVerify?: boolean;
}

function refuse(path: string, reason: string): never {
  throw new DhowError("invalid", `plugin specification ${path}: ${reason}`);
}

function parseAddress(text: string, path: string): PluginAddress {
  const at = text.indexOf("://");
  const rest = text.slice(at + 3).replace(/\/$/, "");
  if (at < 0 || rest === "") refuse(path, `${JSON.stringify(text)} is no address: want unix:///path or tcp://host:port`);
  switch (text.slice(0, at)) {
    case "unix":
      return { url: "http://plugin", socket: rest };
    case "tcp":
    case "http":
      return { url: `http://${rest}` };
    case "https":
      return { url: `https://${rest}` };
    default:
      return refuse(path, `unknown protocol in ${JSON.stringify(text)}`);
  }
}

async function readTls(files: TlsFiles): Promise<NonNullable<PluginAddress["tls"]>> {
  const read = async (path: string | undefined) => (path ? await readFile(path, "utf8") : undefined);
  const [ca, cert, key] = await Promise.all([read(files.CAFile), read(files.CertFile), read(files.KeyFile)]);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }), rejectUnauthorized: !files.InsecureSkipVerify };
}

/** Reads a `.spec` or `.json` file. @throws invalid when it is none, ENOENT */
export async function readSpecFile(path: string): Promise<PluginAddress> {
  const text = await readFile(path, "utf8");
  if (!path.endsWith(".json")) return parseAddress(text.trim(), path);
  let spec: { readonly Addr?: unknown; readonly TLSConfig?: TlsFiles | null };
  try {
    spec = JSON.parse(text) as typeof spec;
  } catch (cause) {
    throw new DhowError("invalid", `plugin specification ${path}: not JSON`, { cause });
  }
  if (typeof spec.Addr !== "string") refuse(path, "Addr is missing");
  const address = parseAddress(spec.Addr, path);
  if (!spec.TLSConfig) return address;
  // as docker: a TLS configuration makes tcp:// mean https
  return { ...address, url: address.url.replace(/^http:/, "https:"), tls: await readTls(spec.TLSConfig) };
}

/** Whether a socket is at `path`. */
export async function isSocket(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isSocket() ?? false;
}
