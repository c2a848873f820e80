import { DhowError, isKind } from "../lib/mod.ts";
import type { VolumeCompression, Volume as VolumeInfo } from "../spec/engine/mod.ts";
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

/** How a volume is copied. */
export interface CopyOptions extends SignalOption {
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** False: running containers that write to it go on meanwhile. */
  readonly pause?: boolean | undefined;
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

  /** A new volume with what is in this one; running containers that write to it stand still meanwhile. @throws conflict when the name is taken */
  async clone(name: string, options: CopyOptions = {}): Promise<Volume> {
    return this.#copy({ ...options, name, isSnapshot: false });
  }

  /** The volume as it is at the moment, as another one; its name is made of this one's and the time when left out. */
  async snapshot({ name, ...options }: CopyOptions & { readonly name?: string | undefined } = {}): Promise<Volume> {
    return this.#copy({ ...options, name, isSnapshot: true });
  }

  async #copy({
    name,
    isSnapshot,
    labels,
    pause = true,
    signal,
  }: CopyOptions & { readonly name?: string | undefined; readonly isSnapshot: boolean }) {
    const messages = await this.#access.within(signal).volumeContents.clone(this.name, { name, labels, isSnapshot, pause, signal });
    let made = "";
    for await (const { aux, error } of messages) {
      if (error !== undefined) throw new DhowError("internal", error);
      if (aux !== undefined) made = (aux as VolumeInfo).Name ?? "";
    }
    return new Volume(this.#access, made);
  }

  /** A tar of what is in the volume. */
  async export({
    compression = "none",
    signal,
  }: SignalOption & { readonly compression?: VolumeCompression } = {}): Promise<AsyncIterable<Uint8Array>> {
    return this.#access.within(signal).volumeContents.export(this.name, { compression, signal });
  }

  /** Gives it another name; the object that is returned has it. @throws conflict while a container has the volume */
  async rename(to: string, { signal }: SignalOption = {}): Promise<Volume> {
    await this.#access.within(signal).volumeContents.rename(this.name, to);
    return new Volume(this.#access, to);
  }

  /** @throws unsupported when it was made without a size */
  async resize(size: string, { signal }: SignalOption = {}): Promise<void> {
    await this.#access.within(signal).volumeContents.resize(this.name, size);
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

  /** A new volume with what is in a tar, compressed or not. @throws conflict when the name is taken */
  async import(
    name: string,
    archive: AsyncIterable<Uint8Array>,
    {
      labels,
      size,
      signal,
    }: SignalOption & { readonly labels?: Readonly<Record<string, string>> | undefined; readonly size?: string | undefined } = {},
  ): Promise<Volume> {
    await this.#access.within(signal).volumeContents.import(name, archive, { labels, size, signal });
    return new Volume(this.#access, name);
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
