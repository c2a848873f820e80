import { DhowError, KeyedMutex } from "../../lib/mod.ts";
import { SOCKET_LABEL, type SocketQuota } from "../../spec/engine/mod.ts";
import { ANONYMOUS_LABEL } from "../../volumes/mod.ts";
import type { Engine } from "./objects.ts";

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
    return this.#limits.Containers > 0 || this.#limits.Volumes > 0;
  }

  /** Makes something, if that many more objects fit in. @throws forbidden */
  make<T>(more: { readonly containers: number; readonly volumes: number }, work: () => Promise<T>): Promise<T> {
    if (!this.#isCounted) return work();
    return this.#turns.run("", async () => {
      await this.#check(more);
      return work();
    });
  }

  async #check(more: { readonly containers: number; readonly volumes: number }): Promise<void> {
    const { Containers, Volumes } = this.#limits;
    const containers = await this.#containers();
    this.#compare("containers", containers.length, more.containers, Containers);
    if (Volumes > 0 && more.volumes > 0) this.#compare("volumes", await this.#volumes(), more.volumes, Volumes);
  }

  #compare(what: string, present: number, more: number, most: number): void {
    if (most === 0 || more === 0 || present + more <= most) return;
    throw new DhowError("forbidden", `quota of socket ${this.#socket} exceeded: ${what} ${present} of ${most}`);
  }

  async #containers(): Promise<readonly { readonly Id?: string | undefined }[]> {
    const filters = { label: [`${SOCKET_LABEL}=${this.#socket}`] };
    return this.#engine.containers.list({ all: true, limit: 0, size: false, filters });
  }

  /** Those that were made by their name, and the anonymous ones of the socket's containers. */
  async #volumes(): Promise<number> {
    const named = await this.#engine.volumes.list({ label: [`${SOCKET_LABEL}=${this.#socket}`] });
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
