import { DhowError } from "../lib/mod.ts";

/** Where an engine listens. */
export type Address =
  | { readonly kind: "unix"; readonly path: string; readonly text: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly basePath: string; readonly text: string }
  | SshAddress;

/** An engine behind a login: `ssh` runs `system dial-stdio` there. `path` is that of its socket, empty for the usual one. */
export interface SshAddress {
  readonly kind: "ssh";
  readonly user: string;
  readonly host: string;
  readonly port: string;
  readonly path: string;
  readonly text: string;
}

const DEFAULT_TCP_PORT = 2375;
const DEFAULT_TLS_PORT = 2376;

/**
 * Parses `unix:///path`, `tcp://host[:port][/base]`, `http(s)://…`, `host[:port]` or `ssh://[user@]host[:port][/path]`, as DOCKER_HOST
 * holds them; with `isTls` a TCP address without a port has docker's for TLS. @throws invalid with docker's words
 */
export function parseAddress(host: string, isTls = false): Address {
  const text = host.trim();
  if (text.startsWith("unix://")) return { kind: "unix", path: text.slice("unix://".length) || "/var/run/docker.sock", text };
  if (text.startsWith("/")) return { kind: "unix", path: text, text: `unix://${text}` };
  if (text.startsWith("ssh://")) return parseSsh(text);
  const match = /^(?:(?:tcp|https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[^:/\s]*)(?::(\d+))?(\/.*)?$/.exec(text);
  if (!match || text.includes("://") !== /^(tcp|https?):/.test(text))
    throw new DhowError("invalid", `invalid bind address format: ${text}`);
  const name = (match[1] || "localhost").replace(/^\[|\]$/g, "");
  const port = match[2] === undefined ? (isTls ? DEFAULT_TLS_PORT : DEFAULT_TCP_PORT) : Number(match[2]);
  if (port > 65535) throw new DhowError("invalid", `invalid bind address format: ${text}`);
  const basePath = (match[3] ?? "").replace(/\/$/, "");
  return { kind: "tcp", host: name, port, basePath, text: text.includes("://") ? text : `tcp://${match[1] || "localhost"}:${port}` };
}

function parseSsh(text: string): SshAddress {
  const fail = (what: string): DhowError => new DhowError("invalid", `ssh host connection is not valid: invalid SSH URL: ${what}`);
  let url: URL;
  try {
    url = new URL(text);
  } catch (cause) {
    const what = /^ssh:\/\/([^@/]*@)?(:\d*)?(\/|$)/.test(text) ? "hostname is empty" : `parse ${JSON.stringify(text)}`;
    throw new DhowError("invalid", `ssh host connection is not valid: invalid SSH URL: ${what}`, { cause });
  }
  if (url.password !== "") throw fail("plain-text password is not supported");
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (host === "") throw fail("hostname is empty");
  if (url.search !== "") throw fail(`query parameters are not allowed: ${JSON.stringify(url.search.slice(1))}`);
  if (url.hash !== "") throw fail(`fragments are not allowed: ${JSON.stringify(url.hash.slice(1))}`);
  const path = decodeURIComponent(url.pathname);
  return { kind: "ssh", user: decodeURIComponent(url.username), host, port: url.port, path: /^\/*$/.test(path) ? "" : path, text };
}
