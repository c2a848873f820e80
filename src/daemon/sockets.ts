/** Puts scoped sockets together: what they let through is engine/scopes', how they are listened at is here. */
import { join } from "node:path";
import { keptSockets, type ServedSocket, type SocketAddress, SocketLimits, Sockets } from "../engine/mod.ts";
import { DOCKER_VERSION, type Logger } from "../lib/mod.ts";
import { dup } from "../linux/mod.ts";
import type { SocketsTable } from "../metadata/mod.ts";
import type { HostFacts } from "../runtime/mod.ts";
import { createServer } from "../server/mod.ts";
import type { AuditRecord, EngineApi } from "../spec/engine/mod.ts";
import type { DaemonConfig } from "./config.ts";
import type { Engine } from "./engine.ts";
import type { KeptSockets } from "./kept-sockets.ts";
import { findHolder } from "./roots.ts";

const DRAIN_MS = 2000;

interface SocketsBase {
  readonly log: Logger;
  readonly stack: AsyncDisposableStack;
  readonly onRequest: () => void;
  readonly kept: KeptSockets;
}

/** What scoped sockets need of an engine that is being made. */
export interface SocketStore {
  readonly sockets: SocketsTable;
  readonly daemonId: string;
  readonly facts: HostFacts;
}

function cgroupParentOf(config: DaemonConfig, { daemonId }: SocketStore): string {
  return `${config.cgroupParent || "/dhow"}/${daemonId}-sockets`;
}

/** Before containers are started: the sockets that they may have mounted, and the limits that they are below. */
export async function prepareSockets(config: DaemonConfig, store: SocketStore, kept: KeptSockets, log: Logger): Promise<void> {
  const present = keptSockets(store.sockets);
  kept.prepare(
    present.map(({ Name, Path, Group }) => ({ name: Name, path: Path, group: Group })),
    log,
  );
  const limits = new SocketLimits(cgroupParentOf(config, store), store.facts);
  limits.sweep(new Set(present.map(({ Name }) => Name)));
  for (const { Name, Quota } of present) {
    await limits
      .prepare(Name, Quota)
      .catch((error: unknown) => log.error("limits of a scoped socket can't be set", { socket: Name, error }));
  }
}

/** Listens again at the scoped sockets that there are. */
export async function startSockets(config: DaemonConfig, store: SocketStore, engine: Engine["api"], base: SocketsBase): Promise<Sockets> {
  const { dataRoot, execRoot } = config;
  const { log, stack, onRequest, kept } = base;
  const serve = async (
    address: SocketAddress,
    api: EngineApi,
    onAnswer: ((record: AuditRecord) => void) | undefined,
  ): Promise<ServedSocket> => {
    const socket = kept.open(address);
    const server = createServer({
      api,
      log: log.child({ room: "server", socket: address.name }),
      serverVersion: DOCKER_VERSION,
      onRequest,
      onAnswer,
    });
    try {
      await server.listen({ kind: "fd", fd: dup(socket.fd).release() });
    } catch (error) {
      socket.forget();
      throw error;
    }
    return {
      close: async ({ isGone }) => {
        await server.close({ drainMs: isGone ? 0 : Math.min(DRAIN_MS, config.shutdownTimeoutS * 1000) });
        // containers that run may have the socket's file among their mounts
        if (isGone || findHolder(execRoot) === undefined) socket.forget();
        else socket.leave();
      },
    };
  };
  const scoped = new Sockets({
    table: store.sockets,
    engine,
    serve,
    limits: new SocketLimits(cgroupParentOf(config, store), store.facts),
    socketDir: kept.directory,
    auditDir: join(dataRoot, "audit"),
    log,
  });
  stack.defer(() => scoped.stop());
  await scoped.start();
  return scoped;
}
