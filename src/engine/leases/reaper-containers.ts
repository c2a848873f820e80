import { errorMessage, type Logger } from "../../lib/mod.ts";
import { bindInet, withNetns } from "../../linux/mod.ts";
import { type ContainerLifecycleApi, type ContainersApi, SERVES_LABEL } from "../../spec/engine/mod.ts";
import type { EngineEvent, EventHub } from "../events.ts";
import type { Leases } from "./leases.ts";
import { type ReaperServer, reaperServer } from "./ryuk.ts";

const REAPER = "reaper";
/** Where Testcontainers' clients look for it. */
const PORT = 8080;
const ANY_ADDRESS = new Uint8Array(4);

export interface ReaperContainersDeps {
  readonly leases: Leases;
  readonly containers: ContainersApi;
  readonly lifecycle: ContainerLifecycleApi;
  readonly events: EventHub;
  readonly log: Logger;
}

/**
 * Serves the reaper's protocol inside the network of containers whose image says so: the socket is made in their network namespace and
 * served from here, so such a container needs neither a program for it nor the engine's socket.
 */
export class ReaperContainers {
  readonly #deps: ReaperContainersDeps;
  readonly #servers = new Map<string, ReaperServer>();
  #unsubscribe: (() => void) | undefined;

  constructor(deps: ReaperContainersDeps) {
    this.#deps = deps;
  }

  /** At the daemon's start, when containers are taken up. */
  async start(): Promise<void> {
    this.#unsubscribe = this.#deps.events.subscribe((event) => this.#onEvent(event));
    const filters = { label: [`${SERVES_LABEL}=${REAPER}`], status: ["running"] };
    const running = await this.#deps.containers.list({ all: false, limit: 0, size: false, filters });
    for (const { Id = "" } of running) await this.#serve(Id);
  }

  stop(): void {
    this.#unsubscribe?.();
    for (const id of this.#servers.keys()) this.#close(id);
  }

  #onEvent({ type, action, id, attributes }: EngineEvent): void {
    if (type !== "container" || attributes[SERVES_LABEL] !== REAPER) return;
    if (action === "start") void this.#serve(id);
    if (action === "die") this.#close(id);
  }

  async #serve(id: string): Promise<void> {
    const { containers, lifecycle, leases, log } = this.#deps;
    try {
      const { State } = await containers.inspect(id, { size: false });
      const pid = State?.Pid ?? 0;
      if (pid === 0) return;
      const socket = withNetns(`/proc/${pid}/ns/net`, () => bindInet({ protocol: "tcp", address: ANY_ADDRESS, port: PORT }));
      // as the program that it stands for ends when its work is done
      const server = reaperServer(leases, log, () => void lifecycle.stop(id, { timeoutS: 0 }).catch(() => {}));
      this.#servers.set(id, server);
      await server.listen({ fd: socket.release() });
    } catch (error) {
      log.warn("reaper can't be served in the container", { container: id, error: errorMessage(error) });
    }
  }

  #close(id: string): void {
    this.#servers.get(id)?.close();
    this.#servers.delete(id);
  }
}
