import type { EngineApi, EventMessage, SystemInfo, SystemVersion } from "../spec/engine/mod.ts";
import type { EngineAccess, SignalOption } from "./access.ts";
import { nanoseconds } from "./container.ts";
import { Containers } from "./containers.ts";
import { type FilterOptions, filtersOf } from "./filters.ts";
import { Images } from "./images.ts";
import { Networks } from "./networks.ts";
import { Volumes } from "./volumes.ts";

/** Which events to see; without `until` the stream has no end. */
export interface EventOptions extends FilterOptions {
  /** Default: from now on. */
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
}

/** An engine: its containers, images, volumes and networks as objects. Held with `await using` it is closed. */
export class Dhow implements AsyncDisposable {
  readonly containers: Containers;
  readonly images: Images;
  readonly volumes: Volumes;
  readonly networks: Networks;
  readonly #access: EngineAccess;

  constructor(access: EngineAccess) {
    this.#access = access;
    this.containers = new Containers(access);
    this.images = new Images(access);
    this.volumes = new Volumes(access);
    this.networks = new Networks(access);
  }

  /** Everything that the engine can do, in the terms of Docker's API. */
  get api(): EngineApi {
    return this.#access.within(undefined);
  }

  async version({ signal }: SignalOption = {}): Promise<SystemVersion> {
    return this.#access.within(signal).system.version();
  }

  async info({ signal }: SignalOption = {}): Promise<SystemInfo> {
    return this.#access.within(signal).system.info();
  }

  /** What happens in the engine, as it happens. */
  events({ since, until, filters, signal }: EventOptions = {}): AsyncIterable<EventMessage> {
    return this.#access.within(signal).system.events({
      ...(since === undefined ? {} : { sinceNs: nanoseconds(since) }),
      ...(until === undefined ? {} : { untilNs: nanoseconds(until) }),
      filters: filtersOf(filters),
      signal,
    });
  }

  /** Gives the connections up; an engine in this process is ended. Containers go on. */
  async close(): Promise<void> {
    await this.#access.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
