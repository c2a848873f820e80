import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import type { Fd } from "../linux/mod.ts";

/** A flow of datagrams that is silent for so long is forgotten. */
const UDP_IDLE_MS = 90_000;
const MAX_UDP_FLOWS = 1024;

/** What a proxy asks for each of its clients. */
export interface ProxyOptions {
  /** Where it is led now; undefined: nowhere. */
  readonly target: () => { readonly address: string; readonly port: number } | undefined;
  /** Whether it may come, by its address. */
  readonly isAdmitted: (client: string) => boolean;
  readonly onError: (error: Error) => void;
}

/** Something that serves a published IPv6 port. */
export interface PortProxy {
  /** Ends the service and what it carries. */
  close(): void;
}

/**
 * Serves connections of a listening socket by piping them to the target, both ends half-closing on their own.
 * Takes `listener` over. For IPv6 clients of containers that have IPv4 only: kernel NAT does not cross the families,
 * so the container sees the bridge's address, and the bytes pass through this process. Who is not admitted gets a reset.
 */
export function proxyTcp(listener: Fd, { target, isAdmitted, onError }: ProxyOptions): PortProxy {
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (client) => {
    const to = target();
    if (to === undefined || !isAdmitted(client.remoteAddress ?? "")) {
      client.resetAndDestroy();
      return;
    }
    const upstream = connect({ host: to.address, port: to.port, allowHalfOpen: true });
    for (const [end, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      open.add(end);
      end.on("error", () => other.destroy());
      end.on("close", () => open.delete(end));
      end.pipe(other);
    }
  });
  server.on("error", onError);
  server.listen({ fd: listener.release() });
  server.unref();
  return {
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

/** The same for datagrams: a socket per client, which the answers come back to. Those of who is not admitted are dropped. */
export function proxyUdp(bound: Fd, { target, isAdmitted, onError }: ProxyOptions): PortProxy {
  const flows = new Map<string, { readonly socket: UdpSocket; timer: ReturnType<typeof setTimeout> }>();
  const server = createSocket("udp6");
  const drop = (key: string): void => {
    const flow = flows.get(key);
    if (!flow) return;
    flows.delete(key);
    clearTimeout(flow.timer);
    flow.socket.close();
  };
  server.on("message", (data, from) => {
    const to = target();
    if (to === undefined || !isAdmitted(from.address)) return;
    const key = `${from.address} ${from.port}`;
    let flow = flows.get(key);
    if (!flow) {
      if (flows.size >= MAX_UDP_FLOWS) return;
      const socket = createSocket(to.address.includes(":") ? "udp6" : "udp4");
      socket.on("message", (answer) => server.send(answer, from.port, from.address));
      socket.on("error", () => drop(key));
      flow = { socket, timer: setTimeout(() => drop(key), UDP_IDLE_MS) };
      flows.set(key, flow);
    }
    clearTimeout(flow.timer);
    flow.timer = setTimeout(() => drop(key), UDP_IDLE_MS);
    flow.timer.unref();
    flow.socket.send(data, to.port, to.address, () => {});
  });
  server.on("error", onError);
  server.bind({ fd: bound.release() });
  server.unref();
  return {
    close: () => {
      for (const key of [...flows.keys()]) drop(key);
      server.close();
    },
  };
}
