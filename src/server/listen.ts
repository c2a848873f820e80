import { chmodSync, chownSync, lstatSync, readFileSync, unlinkSync } from "node:fs";
import type { Server } from "node:http";
import { createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import { DhowError, errnoCode, errorMessage, type Logger } from "../lib/mod.ts";
import { isInetSocket } from "../linux/mod.ts";
import { widenBacklog } from "./backlog.ts";
import { createTlsServer, type ServerTls } from "./tls.ts";

/** Where to listen: a unix socket, a TCP port, or a listening socket that was handed over (systemd). */
export type ListenAddress =
  | { readonly kind: "unix"; readonly path: string; readonly mode?: number | undefined; readonly group?: string | number | undefined }
  | {
      readonly kind: "tcp";
      readonly host: string;
      readonly port: number;
      readonly tls?: ServerTls | undefined;
      /** Names besides `host` that clients may call the listener by. */
      readonly names?: readonly string[] | undefined;
    }
  /** A TCP socket that was handed over is served as `tcp` says, and refused where that is undefined. */
  | { readonly kind: "fd"; readonly fd: number; readonly tcp?: Pick<TcpAddress, "tls" | "names"> | undefined };

/** Docker's; a machine without it is no mistake. */
const DEFAULT_GROUP = "docker";

type TcpAddress = ListenAddress & { readonly kind: "tcp" };

/** A place that is listened at. */
export interface Listener {
  /** As `-H` spells it: `unix:///path`, `tcp://host:port`, `fd://3`. */
  readonly address: string;
  /** Takes no more connections; resolves when those that are open have ended. */
  close(): Promise<void>;
  /** Breaks what is still open. */
  cut(): void;
  /** Takes other certificates for new connections, if it has TLS at all. */
  renewTls(tls: ServerTls): void;
}

/** Whether `address` is reached by a network, and how it is served then. @throws forbidden when that was not asked for */
export function tcpOf(address: ListenAddress): Pick<TcpAddress, "tls" | "names"> | undefined {
  if (address.kind === "unix") return undefined;
  if (address.kind === "tcp") return { tls: address.tls, names: [...(address.names ?? []), address.host] };
  if (!isInetSocket(address.fd)) return undefined;
  if (address.tcp === undefined) throw new DhowError("forbidden", `listen at fd://${address.fd}: it is a TCP socket`);
  return address.tcp;
}

/**
 * Makes `server` listen. `onConnection` is told of those that come by a descriptor, before anything is read from them.
 * @throws conflict when the address is taken, forbidden, invalid
 */
export async function listen(
  server: Server,
  address: ListenAddress,
  log: Logger,
  onConnection: (socket: Socket) => void = () => {},
): Promise<Listener> {
  switch (address.kind) {
    case "unix":
      return listenUnix(server, address, log);
    case "tcp": {
      if (address.tls !== undefined) return listenTls(server, address, address.tls, log);
      await started(server, () => server.listen({ host: address.host, port: address.port }));
      const bound = server.address();
      const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
      return { address: tcpText(address.host, port), ...plain(server) };
    }
    case "fd":
      return listenFd(address.fd, acceptFor(server, tcpOf(address)?.tls, log, onConnection));
    default: {
      const never: never = address;
      return never;
    }
  }
}

async function listenUnix(server: Server, address: ListenAddress & { readonly kind: "unix" }, log: Logger): Promise<Listener> {
  const { path } = address;
  const gid = address.group === undefined ? undefined : groupId(address.group);
  if (gid === undefined && address.group !== undefined) {
    const why = `group ${address.group} not found`;
    if (address.group !== DEFAULT_GROUP) throw new DhowError("invalid", why);
    log.warn(`could not change group ${path} to ${address.group}: ${why}`);
  }
  removeStaleSocket(path);
  await started(server, () => {
    // nobody else may connect before mode and group are right
    const before = process.umask(0o177);
    server.listen(path);
    process.umask(before);
  });
  try {
    widenBacklog(path);
  } catch (error) {
    log.debug("few clients may wait to be accepted", { path, error });
  }
  if (gid !== undefined) chownSync(path, 0, gid);
  chmodSync(path, address.mode ?? 0o660);
  return { address: `unix://${path}`, ...plain(server) };
}

/** A listener of the HTTP server's own, which knows no TLS. */
function plain(server: Server): Omit<Listener, "address"> {
  return { close: () => closed(server), cut: () => server.closeAllConnections(), renewTls: () => {} };
}

async function listenTls(server: Server, address: TcpAddress, tls: ServerTls, log: Logger): Promise<Listener> {
  const foreign = acceptFor(server, tls, log);
  await started(foreign.acceptor, () => foreign.acceptor.listen({ host: address.host, port: address.port }));
  const bound = foreign.acceptor.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : address.port;
  return { address: tcpText(address.host, port), ...handed(foreign) };
}

async function listenFd(fd: number, foreign: Foreign): Promise<Listener> {
  await started(foreign.acceptor, () => foreign.acceptor.listen({ fd }));
  return { address: `fd://${fd}`, ...handed(foreign) };
}

/** What accepts connections for a server. */
interface Foreign {
  readonly acceptor: NetServer;
  readonly cut: () => void;
  readonly renewTls: (tls: ServerTls) => void;
}

function handed({ acceptor, cut, renewTls }: Foreign): Omit<Listener, "address"> {
  return { close: () => closed(acceptor), cut, renewTls };
}

/** Accepts connections for `server`: Bun's HTTP server takes no descriptor, and would read what a client sends that TLS doesn't know. */
function acceptFor(server: Server, tls: ServerTls | undefined, log: Logger, onConnection: (socket: Socket) => void = () => {}): Foreign {
  const sockets = new Set<Socket>();
  const admit = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    onConnection(socket);
    server.emit("connection", socket);
  };
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  if (tls === undefined) return { acceptor: createNetServer({ allowHalfOpen: true }, admit), cut, renewTls: () => {} };
  const { acceptor, renew } = createTlsServer(tls, log, admit);
  return { acceptor, cut, renewTls: renew };
}

function tcpText(host: string, port: number): string {
  return `tcp://${host.includes(":") ? `[${host}]` : host}:${port}`;
}

function started(server: Server | NetServer, listenNow: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: Error) => {
      const kind = errnoCode(error) === "EADDRINUSE" ? "conflict" : errnoCode(error) === "EACCES" ? "forbidden" : "internal";
      reject(new DhowError(kind, `listen: ${errorMessage(error)}`, { cause: error }));
    });
    server.once("listening", resolve);
    listenNow();
  });
}

function closed(server: Server | NetServer): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
  });
}

/** A socket file that a dead daemon left is in the way; any other file is somebody's. */
function removeStaleSocket(path: string): void {
  try {
    if (!lstatSync(path).isSocket()) throw new DhowError("invalid", `listen at ${JSON.stringify(path)}: it exists and is not a socket`);
    unlinkSync(path);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
}

/** The number of a group by name or number; undefined when there is none of that name, as on a machine without `docker`. */
function groupId(group: string | number): number | undefined {
  if (typeof group === "number") return group;
  if (/^\d+$/.test(group)) return Number(group);
  for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
    const [name, , gid] = line.split(":");
    if (name === group && gid !== undefined) return Number(gid);
  }
  return undefined;
}
