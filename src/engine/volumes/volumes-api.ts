import { DhowError, filterTest, parseGoBool } from "../../lib/mod.ts";
import type { CallOptions, Filters, Volume, VolumeCreateRequest, VolumeListResponse, VolumesApi } from "../../spec/engine/mod.ts";
import { ANONYMOUS_LABEL, isSized, LOCAL_DRIVER, type LocalVolume, type Volumes } from "../../volumes/mod.ts";
import type { Emit } from "../events.ts";
import type { VolumeFiles } from "./volume-files.ts";

export interface VolumesApiDeps {
  readonly volumes: Volumes;
  readonly files: VolumeFiles;
  readonly emit: Emit;
  /** Looks at the labels of a volume to be. @throws invalid */
  readonly checkLabels?: ((labels: Readonly<Record<string, string>> | null | undefined) => void) | undefined;
}

const NEVER = new AbortController().signal;
const LIST_FILTERS = ["dangling", "name", "driver", "label"];
const PRUNE_FILTERS = ["label", "label!", "all"];

function refuse(message: string): never {
  throw new DhowError("invalid", message);
}

function checkKeys(filters: Filters, known: readonly string[]): void {
  for (const key of Object.keys(filters)) if (!known.includes(key)) refuse(`invalid filter '${key}'`);
}

function matchesLabel(labels: Readonly<Record<string, string>> | null, wanted: string): boolean {
  const at = wanted.indexOf("=");
  const key = at < 0 ? wanted : wanted.slice(0, at);
  if (labels === null || !Object.hasOwn(labels, key)) return false;
  return at < 0 || labels[key] === wanted.slice(at + 1);
}

const passes = (values: readonly string[] | undefined, test: (value: string) => boolean): boolean => !values?.length || values.some(test);

function hasLabels(volume: LocalVolume, filters: Filters): boolean {
  const wanted = filters["label"] ?? [];
  const unwanted = filters["label!"] ?? [];
  return wanted.every((label) => matchesLabel(volume.labels, label)) && !unwanted.some((label) => matchesLabel(volume.labels, label));
}

/** The one boolean value of a filter. @throws invalid in docker's words */
function flagOf(filters: Filters, key: string): boolean | undefined {
  const values = filters[key];
  if (!values?.length) return undefined;
  const all = values.map(parseGoBool);
  if (all.includes(undefined) || new Set(all).size > 1) refuse(`invalid filter '${key}=[${values.join(" ")}]'`);
  return all[0];
}

/** A volume in the form of the API. */
export function volumeDto(volume: LocalVolume): Volume {
  return {
    CreatedAt: volume.createdAt,
    Driver: volume.driver,
    Labels: volume.labels,
    Mountpoint: volume.path,
    Name: volume.name,
    Options: volume.options,
    Scope: volume.scope,
  };
}

/** Volumes for the front doors. */
export class VolumesService implements VolumesApi {
  readonly #volumes: Volumes;
  readonly #files: VolumeFiles;
  readonly #emit: Emit;
  readonly #checkLabels: NonNullable<VolumesApiDeps["checkLabels"]>;
  #isPruning = false;

  constructor(deps: VolumesApiDeps) {
    this.#volumes = deps.volumes;
    this.#files = deps.files;
    this.#emit = deps.emit;
    this.#checkLabels = deps.checkLabels ?? (() => {});
  }

  async create(request: VolumeCreateRequest): Promise<Volume> {
    this.#checkLabels(request.Labels);
    const { volume, created } = await this.#volumes.create({
      name: request.Name,
      driver: request.Driver,
      options: request.DriverOpts ?? null,
      labels: request.Labels ?? null,
    });
    if (created) this.#event("create", volume.name, { driver: volume.driver });
    return volumeDto(volume);
  }

  async list(filters: Filters): Promise<VolumeListResponse> {
    checkKeys(filters, LIST_FILTERS);
    const dangling = flagOf(filters, "dangling");
    const isNamed = filters["name"]?.length ? filterTest(filters["name"]) : () => true;
    const { volumes, warnings } = await this.#listed(filters);
    const found = volumes.filter(
      (v) =>
        passes(filters["driver"], (driver) => driver === v.driver) &&
        isNamed(v.name) &&
        hasLabels(v, filters) &&
        (dangling === undefined || (this.#volumes.references(v.name).length === 0) === dangling),
    );
    return { Volumes: found.map((volume) => volumeDto(volume)), Warnings: warnings.length > 0 ? warnings : null };
  }

  /** Labels are kept here: where nothing that is known has them, no plug-in is asked. */
  async #listed(filters: Filters): Promise<{ readonly volumes: LocalVolume[]; readonly warnings: readonly string[] }> {
    const isWanted = (driver: string): boolean => passes(filters["driver"], (wanted) => wanted === driver);
    if (!filters["label"]?.length) return this.#volumes.list(isWanted);
    const labelled = this.#volumes.known().filter((v) => isWanted(v.driver) && hasLabels(v, filters));
    const drivers = new Set(labelled.map(({ driver }) => driver));
    if (labelled.every(({ driver }) => driver === LOCAL_DRIVER)) return { volumes: labelled, warnings: [] };
    return this.#volumes.list((driver) => drivers.has(driver));
  }

  async inspect(name: string): Promise<Volume> {
    const volume = await this.#volumes.get(name);
    return { ...volumeDto(volume), ...(volume.status && { Status: volume.status as NonNullable<Volume["Status"]> }) };
  }

  async remove(name: string, options: { readonly force: boolean }): Promise<void> {
    await this.#volumes.remove(name, { ...options, onRemoved: ({ driver }) => this.#event("destroy", name, { driver }) });
  }

  /** Removes unused anonymous volumes; with `all=true` named ones too; never one whose options name a device. */
  async prune(
    filters: Filters,
    { signal = NEVER }: CallOptions = {},
  ): Promise<{ readonly VolumesDeleted: string[]; readonly SpaceReclaimed: number }> {
    checkKeys(filters, PRUNE_FILTERS);
    if ((filters["all"]?.length ?? 0) > 1) refuse(`invalid filter 'all=[${filters["all"]?.join(" ")}]': only one value is expected`);
    if (this.#isPruning) throw new DhowError("conflict", "a prune operation is already running");
    const all = flagOf(filters, "all") ?? false;
    this.#isPruning = true;
    try {
      return await this.#prune(filters, all, signal);
    } finally {
      this.#isPruning = false;
    }
  }

  async #prune(
    filters: Filters,
    all: boolean,
    signal: AbortSignal,
  ): Promise<{ readonly VolumesDeleted: string[]; readonly SpaceReclaimed: number }> {
    const isUnused = (name: string): boolean => this.#volumes.references(name).length === 0;
    const isCandidate = (v: LocalVolume): boolean =>
      isOwn(v) && (all || v.labels?.[ANONYMOUS_LABEL] !== undefined) && hasLabels(v, filters);
    const deleted: string[] = [];
    let reclaimed = 0;
    for (const volume of this.#volumes.known().filter((v) => isCandidate(v) && isUnused(v.name))) {
      const sizeBytes = (await this.#sizeBytes(volume, signal)) ?? 0;
      // A container may have taken it while its size was counted.
      if (!isUnused(volume.name)) continue;
      const onRemoved = (): void => {
        this.#event("destroy", volume.name, { driver: volume.driver });
        deleted.push(volume.name);
        reclaimed += sizeBytes;
      };
      await this.#volumes.remove(volume.name, { force: true, onRemoved });
    }
    this.#event("prune", "", { reclaimed: String(reclaimed) });
    return { VolumesDeleted: deleted, SpaceReclaimed: reclaimed };
  }

  /**
   * Every volume with its size and the number of containers that use it, for `docker system df`. With mount options they may be
   * somewhere else, and slow to walk: docker leaves them out, too. A size that a file system in the volume doesn't tell is -1.
   */
  async usage(signal: AbortSignal = NEVER): Promise<Volume[]> {
    const volumes = this.#volumes.known().filter(isOwn);
    const slow = this.#files.slowAmong(volumes.map(({ path }) => path));
    // all of them are waited for at once
    const far = volumes.filter(({ path }) => slow.has(path)).map((v) => this.#withUsage(v, signal));
    const answered = Promise.all(far);
    answered.catch(() => {});
    const near: Volume[] = [];
    for (const v of volumes) if (!slow.has(v.path)) near.push(await this.#withUsage(v, signal));
    return [...near, ...(await answered)].sort((a, b) => ((a.Name ?? "") < (b.Name ?? "") ? -1 : 1));
  }

  async #withUsage(volume: LocalVolume, signal: AbortSignal): Promise<Volume> {
    const Size = (await this.#sizeBytes(volume, signal)) ?? -1;
    return { ...volumeDto(volume), UsageData: { Size, RefCount: this.#volumes.references(volume.name).length } };
  }

  async #sizeBytes(volume: LocalVolume, signal: AbortSignal): Promise<number | undefined> {
    return this.#volumes.imageBytes(volume) ?? this.#files.usageBytes(volume.path, signal);
  }

  #event(action: string, id: string, attributes: Readonly<Record<string, string>>): void {
    this.#emit({ type: "volume", action, id, attributes });
  }
}

/** Whether a volume's content lies here, and not where mount options say. */
function isOwn({ driver, options }: LocalVolume): boolean {
  return driver === LOCAL_DRIVER && (isEmpty(options) || isSized(options));
}

/** A client may have sent no options as an empty map. */
function isEmpty(options: Readonly<Record<string, string>> | null): boolean {
  return Object.keys(options ?? {}).length === 0;
}
