import { isKind } from "../lib/mod.ts";
import type { Volume as VolumeInfo } from "../spec/engine/mod.ts";
import type { EngineAccess, SignalOption } from "./access.ts";
import { type FilterOptions, filtersOf } from "./filters.ts";

/** How to make a volume. */
export interface VolumeOptions extends SignalOption {
  /** The engine's choice when left out. */
  readonly name?: string | undefined;
  readonly driver?: string | undefined;
  readonly driverOpts?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** A named volume. Held with `await using` it is removed; the containers that use it must be gone by then. */
export class Volume implements AsyncDisposable {
  readonly name: string;
  readonly #access: EngineAccess;

  constructor(access: EngineAccess, name: string) {
    this.#access = access;
    this.name = name;
  }

  async inspect({ signal }: SignalOption = {}): Promise<VolumeInfo> {
    return this.#access.within(signal).volumes.inspect(this.name);
  }

  /** @throws conflict while a container uses it */
  async remove({ signal }: SignalOption = {}): Promise<void> {
    await this.#access.within(signal).volumes.remove(this.name, { force: false });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.remove();
    } catch (error) {
      if (!isKind(error, "notFound")) throw error;
    }
  }
}

/** The volumes of an engine. */
export class Volumes {
  readonly #access: EngineAccess;

  constructor(access: EngineAccess) {
    this.#access = access;
  }

  /** Makes a volume, or takes the one that has this name. */
  async create({ name, driver, driverOpts, labels, signal }: VolumeOptions = {}): Promise<Volume> {
    const request = { Name: name ?? "", Driver: driver ?? "local", DriverOpts: driverOpts ?? {}, Labels: labels ?? {} };
    const { Name } = await this.#access.within(signal).volumes.create(request);
    return new Volume(this.#access, Name ?? "");
  }

  /** @throws notFound */
  async get(name: string, { signal }: SignalOption = {}): Promise<Volume> {
    await this.#access.within(signal).volumes.inspect(name);
    return new Volume(this.#access, name);
  }

  async list({ filters, signal }: FilterOptions = {}): Promise<readonly VolumeInfo[]> {
    return (await this.#access.within(signal).volumes.list(filtersOf(filters))).Volumes ?? [];
  }

  /** Removes anonymous volumes that no container uses; with `{ filters: { all: "true" } }` named ones, too. */
  async prune({ filters, signal }: FilterOptions = {}): Promise<{ readonly removed: readonly string[]; readonly reclaimedBytes: number }> {
    const { VolumesDeleted, SpaceReclaimed } = await this.#access.within(signal).volumes.prune(filtersOf(filters));
    return { removed: VolumesDeleted ?? [], reclaimedBytes: SpaceReclaimed };
  }
}
