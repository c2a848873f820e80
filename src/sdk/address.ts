import { DhowError } from "../lib/mod.ts";

/** Where an engine listens. */
export type Address =
  | { readonly kind: "unix"; readonly path: string; readonly text: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly basePath: string; readonly text: string };

const DEFAULT_TCP_PORT = 2375;

/** Parses `unix:///path`, `tcp://host[:port][/base]`, `http://…` or `host[:port]`, as DOCKER_HOST holds them. @throws invalid with docker's words */
export function parseAddress(host: string): Address {
  const text = host.trim();
  if (text.startsWith("unix://")) return { kind: "unix", path: text.slice("unix://".length) || "/var/run/docker.sock", text };
  if (text.startsWith("/")) return { kind: "unix", path: text, text: `unix://${text}` };
  const match = /^(?:(?:tcp|http):\/\/)?(\[[0-9a-fA-F:.]+\]|[^:/\s]*)(?::(\d+))?(\/.*)?$/.exec(text);
  if (!match || text.includes("://") !== /^(tcp|http):/.test(text)) throw new DhowError("invalid", `invalid bind address format: ${text}`);
  const name = (match[1] || "localhost").replace(/^\[|\]$/g, "");
  const port = match[2] === undefined ? DEFAULT_TCP_PORT : Number(match[2]);
  if (port > 65535) throw new DhowError("invalid", `invalid bind address format: ${text}`);
  const basePath = (match[3] ?? "").replace(/\/$/, "");
  return { kind: "tcp", host: name, port, basePath, text: text.includes("://") ? text : `tcp://${match[1] || "localhost"}:${port}` };
}
