import { DhowError, KeyedMutex } from "../../lib/mod.ts";
import { type Filters, SOCKET_LABEL, type SocketQuota } from "../../spec/engine/mod.ts";
import { ANONYMOUS_LABEL } from "../../volumes/mod.ts";
import type { Engine } from "./objects.ts";

/** Objects that are to be made. */
export interface MoreObjects {
  readonly containers?: number;
  readonly volumes?: number;
  readonly networks?: number;
}

/** How much of what may be made through one socket. Counted when something is made, since it may have gone by itself. */
export class Quota {
  readonly #engine: Engine;
  readonly #socket: string;
  readonly #limits: SocketQuota;
  /** Between counting and making nothing else is made. */
  readonly #turns = new KeyedMutex();
  /** The cgroup above those of the socket's containers; undefined where it limits nothing. */
  readonly cgroupParent: string | undefined;

  constructor(engine: Engine, socket: string, limits: SocketQuota, cgroupParent: string | undefined) {
    this.#engine = engine;
    this.#socket = socket;
    this.#limits = limits;
    this.cgroupParent = cgroupParent;
  }

  get #isCounted(): boolean {
    const { Containers, Volumes, Networks } = this.#limits;
    return Containers > 0 || Volumes > 0 || Networks > 0;
  }

  /** Makes something, if that many more objects fit in. @throws forbidden */
  make<T>(more: MoreObjects, work: () => Promise<T>): Promise<T> {
    if (!this.#isCounted) return work();
    return this.#turns.run("", async () => {
      await this.#check(more);
      return work();
    });
  }

  async #check({ containers = 0, volumes = 0, networks = 0 }: MoreObjects): Promise<void> {
    const { Containers, Volumes, Networks } = this.#limits;
    await this.#compare("containers", async () => (await this.#containers()).length, containers, Containers);
    await this.#compare("volumes", () => this.#volumes(), volumes, Volumes);
    await this.#compare("networks", async () => (await this.#engine.networks.list(this.#own)).length, networks, Networks);
  }

  async #compare(what: string, count: () => Promise<number>, more: number, most: number): Promise<void> {
    if (most === 0 || more === 0) return;
    const present = await count();
    if (present + more <= most) return;
    throw new DhowError("forbidden", `quota of socket ${this.#socket} exceeded: ${what} ${present} of ${most}`);
  }

  /** Filters for what was made through the socket. */
  get #own(): Filters {
    return { label: [`${SOCKET_LABEL}=${this.#socket}`] };
  }

  async #containers(): Promise<readonly { readonly Id?: string | undefined }[]> {
    return this.#engine.containers.list({ all: true, limit: 0, size: false, filters: this.#own });
  }

  /** Those that were made by their name, and the anonymous ones of the socket's containers. */
  async #volumes(): Promise<number> {
    const named = await this.#engine.volumes.list(this.#own);
    const names = new Set((named.Volumes ?? []).map(({ Name }) => Name));
    for (const { Id = "" } of await this.#containers()) for (const name of await anonymousVolumes(this.#engine, Id)) names.add(name);
    return names.size;
  }
}

/** The anonymous volumes that a container has. */
export async function anonymousVolumes(engine: Engine, id: string): Promise<string[]> {
  const container = await engine.containers.inspect(id, { size: false }).catch(() => undefined);
  const found: string[] = [];
  for (const { Type, Name = "" } of container?.Mounts ?? []) {
    if (Type !== "volume") continue;
    const volume = await engine.volumes.inspect(Name).catch(() => undefined);
    if (volume?.Labels?.[ANONYMOUS_LABEL] !== undefined) found.push(Name);
  }
  return found;
}
