/** What `-H` stands for. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DhowError, type Logger } from "../lib/mod.ts";
import { isInetSocket, setCloexec } from "../linux/mod.ts";
import type { ListenAddress } from "../server/mod.ts";
import { takeHandedOverSockets } from "./activation.ts";
import type { DaemonConfig } from "./config.ts";
import { readTls, UNAUTHENTICATED, UNAUTHENTICATED_WARNINGS } from "./tls.ts";

/** The places to listen at. @throws invalid */
export function listenAddresses(config: DaemonConfig, log: Logger): ListenAddress[] {
  const tls = config.tls?.isOn ? readTls(config.tls) : undefined;
  const tcp = { tls, names: [...config.apiHostNames, ...config.hosts.flatMap(tcpName)] };
  const warn = (host: string): void => {
    if (tls?.isVerified) return;
    if (config.tls === undefined) throw new DhowError("invalid", `${host}: ${UNAUTHENTICATED}`);
    for (const text of UNAUTHENTICATED_WARNINGS) log.warn(text, { host });
  };
  const sockets = takeHandedOverSockets(setCloexec);
  return config.hosts.flatMap((host): ListenAddress[] => {
    if (host.startsWith("unix://")) {
      const path = host.slice("unix://".length);
      mkdirSync(dirname(path), { recursive: true });
      return [{ kind: "unix", path, group: config.group, mode: 0o660 }];
    }
    if (host.startsWith("tcp://")) {
      warn(host);
      const [name, port] = splitTcp(host);
      return [{ kind: "tcp", host: name, port, ...tcp }];
    }
    return handedOver(host, sockets).map((fd) => {
      if (isInetSocket(fd)) warn(`fd://${fd}`);
      return { kind: "fd", fd, tcp };
    });
  });
}

function splitTcp(host: string): readonly [name: string, port: number] {
  const at = host.lastIndexOf(":");
  return [host.slice("tcp://".length, at).replace(/^\[|\]$/g, "") || "127.0.0.1", Number(host.slice(at + 1))];
}

function tcpName(host: string): string[] {
  return host.startsWith("tcp://") ? [splitTcp(host)[0]] : [];
}

/** `fd://` is every socket of the unit, `fd://3` one of them. */
function handedOver(host: string, all: readonly number[]): readonly number[] {
  const one = host.slice("fd://".length);
  const found = one === "" || one === "*" ? all : all.filter((fd) => String(fd) === one);
  if (found.length === 0)
    throw new DhowError("invalid", `${host}: no sockets found via socket activation: make sure the service was started by systemd`);
  return found;
}

/** Where `--metrics-addr` is. Without a host, only this one gets to see them. @throws invalid */
export function metricsListenAddress({
  metricsAddress: text,
  apiHostNames,
  group,
}: DaemonConfig): ListenAddress & { readonly kind: "unix" | "tcp" } {
  if (text.startsWith("unix://") || text.startsWith("/")) return { kind: "unix", path: text.replace(/^unix:\/\//, ""), group, mode: 0o660 };
  const match = /^(?:tcp:\/\/)?(?:(\[[0-9a-fA-F:.]+\]|[^:/\s]*):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65535)
    throw new DhowError("invalid", `invalid metrics address ${JSON.stringify(text)}: use host:port or unix:///path`);
  return { kind: "tcp", host: match[1]?.replace(/^\[|\]$/g, "") || "127.0.0.1", port, names: apiHostNames };
}
