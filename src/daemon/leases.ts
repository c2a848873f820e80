/** Puts together what removes objects whose owners are gone. */
import { type ContainerDeps, type EventHub, Expiry, type LeaseBook, Leases, ReaperContainers, reaperServer } from "../engine/mod.ts";
import { DhowError, errorMessage } from "../lib/mod.ts";
import type { EngineApi } from "../spec/engine/mod.ts";

export interface LeaseParts {
  readonly api: Omit<EngineApi, "leases" | "sockets">;
  readonly book: LeaseBook;
  readonly events: EventHub;
  /** `address:port` where Testcontainers' reaper is served; empty = nowhere. */
  readonly reaperAddress: string;
  readonly deps: Pick<ContainerDeps, "reactor" | "log">;
  readonly stack: AsyncDisposableStack;
}

/** Takes leases up, when everything else is recovered. @throws invalid, conflict when the reaper's address can't be listened on */
export async function startLeases({ api, book, events, reaperAddress, deps, stack }: LeaseParts): Promise<Leases> {
  const { reactor, log } = deps;
  const leases = new Leases({ book, engine: api, reactor, log });
  stack.defer(() => leases.stop());
  leases.start();
  const expiry = new Expiry({ book, engine: api, events, log });
  stack.defer(() => expiry.stop());
  await expiry.start();
  const inContainers = new ReaperContainers({ leases, containers: api.containers, lifecycle: api.lifecycle, events, log });
  stack.defer(() => inContainers.stop());
  await inContainers.start();
  if (reaperAddress !== "") await listen(reaperAddress, leases, { log, stack });
  return leases;
}

async function listen(
  address: string,
  leases: Leases,
  { log, stack }: Pick<ContainerDeps, "log"> & Pick<LeaseParts, "stack">,
): Promise<void> {
  const [, host = "", port = ""] = /^(?:tcp:\/\/)?\[?([^\]]*)\]?:(\d+)$/.exec(address) ?? [];
  if (port === "") throw new DhowError("invalid", `invalid reaper address (${address}): use address:port`);
  const server = reaperServer(leases, log);
  stack.defer(() => server.close());
  try {
    await server.listen({ host: host || "127.0.0.1", port: Number(port) });
  } catch (error) {
    throw new DhowError("conflict", `failed to listen for the reaper's clients on ${address}: ${errorMessage(error)}`, { cause: error });
  }
  log.info("reaper is served", { address });
}
