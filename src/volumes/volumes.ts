import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type Defect, DhowError, errnoCode, errorMessage, type Logger, randomId } from "../lib/mod.ts";
import { isMountPoint, umount } from "../linux/mod.ts";
import type { VolumeRow, VolumesTable } from "../metadata/mod.ts";
import { LOCAL_DRIVER, mountLocal, needsMount, validateLocalOptions, validateVolumeName } from "./local-driver.ts";

type StringMap = Readonly<Record<string, string>>;

/** The label of a volume that was made without a name. */
export const ANONYMOUS_LABEL = "com.docker.volume.anonymous";

/** A named piece of disk that outlives containers. */
export interface LocalVolume {
  readonly name: string;
  readonly driver: string;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly labels: StringMap | null;
  readonly options: StringMap | null;
  /** Absolute path of its content. */
  readonly path: string;
}

export interface VolumeRequest {
  readonly name?: string | undefined;
  readonly driver?: string | undefined;
  readonly options?: StringMap | null | undefined;
  readonly labels?: StringMap | null | undefined;
}

export interface VolumesDeps {
  readonly table: VolumesTable;
  /** `<dataRoot>/volumes`. */
  readonly root: string;
  readonly log: Logger;
  /** Ids of the containers, running or not, that have the volume among their mounts. */
  readonly references: (name: string) => readonly string[];
  readonly now?: () => Date;
}

/**
 * The local volumes. Content lies apart from what is known of it:
 *
 *     <root>/            0701
 *     ├─ <name>/         0701
 *     │  └─ _data/       the volume's content; where options name a device, that is mounted here while it is used
 *     └─ .removing/      content of removed volumes until it is deleted
 *
 * A row without a directory gets a new one when it is used, a directory without a row becomes a volume at the next start, so that
 * a crash between the two loses nothing.
 */
export class Volumes {
  readonly #deps: VolumesDeps;
  /** Containers that use a volume whose options have to be mounted. */
  readonly #users = new Map<string, Set<string>>();
  /** Content that is being deleted, by its path. */
  readonly #deleting = new Set<string>();

  constructor(deps: VolumesDeps) {
    this.#deps = deps;
    mkdirSync(deps.root, { recursive: true, mode: 0o701 });
  }

  /** Finishes removals that a crash cut short and takes in directories that no row knows. Call once, before anything else. */
  recover(): void {
    for (const { mend } of this.#unfinishedRemovals()) void mend();
    for (const { mend } of this.#unknown()) void mend();
  }

  /** Directories without a row, rows without a directory, removals and mounts that nobody is about. */
  defects(): Defect[] {
    return [...this.#unfinishedRemovals(), ...this.#unknown(), ...this.#lost(), ...this.#unusedMounts()];
  }

  #unfinishedRemovals(): Defect[] {
    const { root, table } = this.#deps;
    const left = this.#entries(`${root}/.removing`).filter((entry) => !this.#deleting.has(`${root}/.removing/${entry}`));
    return left.map((entry) => ({
      what: `content of a removed volume in ${root}/.removing/${entry}`,
      mend: () => {
        const name = entry.replace(/\.[0-9a-f]{8}$/, "");
        if (!this.#exists(`${root}/${name}`)) table.delete(name);
        this.#deleteLater(`${root}/.removing/${entry}`);
      },
    }));
  }

  #unknown(): Defect[] {
    const { root, table, log, now } = this.#deps;
    const isUnknown = (name: string): boolean => !name.startsWith(".") && !table.get(name) && this.#exists(`${root}/${name}/_data`);
    return this.#entries(root)
      .filter(isUnknown)
      .map((name) => ({
        what: `volume ${name} is not in the database`,
        mend: () => {
          if (!isUnknown(name)) return;
          log.warn("take in a volume that the database does not know", { volume: name });
          table.insert({ name, driver: LOCAL_DRIVER, createdAt: (now?.() ?? new Date()).toISOString(), labels: null, options: null });
        },
      }));
  }

  #lost(): Defect[] {
    const lost = this.list().filter((volume) => !this.#exists(volume.path));
    return lost.map(({ name }) => ({
      what: `volume ${name} has lost its directory, with its content`,
      mend: () => this.#makeDirectory(name),
    }));
  }

  #unusedMounts(): Defect[] {
    const unused = this.list().filter((volume) => !this.#users.has(volume.name) && needsMount(volume.options) && isMountPoint(volume.path));
    return unused.map((volume) => ({
      what: `volume ${volume.name} is mounted for no container`,
      mend: () => {
        if (!this.#users.has(volume.name)) this.#unmount(volume);
      },
    }));
  }

  /** The volume, or undefined. */
  tryGet(name: string): LocalVolume | undefined {
    const row = this.#deps.table.get(name);
    return row && this.#fromRow(row);
  }

  /** The volume. @throws notFound "get x: no such volume" */
  get(name: string): LocalVolume {
    return this.tryGet(name) ?? fail("notFound", `get ${name}: no such volume`);
  }

  /** Every volume, by name. */
  list(): LocalVolume[] {
    return this.#deps.table.list().map((row) => this.#fromRow(row));
  }

  /** Ids of the containers that have the volume among their mounts. */
  references(name: string): readonly string[] {
    return this.#deps.references(name);
  }

  /** The volume of that name, made when there is none (`onCreate` is told before); a random name when none is given. @throws invalid, notFound (driver), conflict (driver) */
  create(request: VolumeRequest, onCreate: (name: string) => void = () => {}): { readonly volume: LocalVolume; readonly created: boolean } {
    const name = request.name || randomId();
    const driver = request.driver ?? "";
    const existing = this.tryGet(name);
    if (driver !== "" && driver !== LOCAL_DRIVER) {
      fail("notFound", `create ${name}: error looking up volume plugin ${driver}: plugin ${JSON.stringify(driver)} not found`);
    }
    if (existing) return { volume: existing, created: false };
    try {
      validateVolumeName(name);
      validateLocalOptions(request.options ?? {});
    } catch (error) {
      if (error instanceof DhowError) fail(error.kind, `create ${name}: ${error.message}`);
      throw error;
    }
    const labels = request.name ? (request.labels ?? null) : { ...request.labels, [ANONYMOUS_LABEL]: "" };
    const options = request.options ?? null;
    const row: VolumeRow = {
      name,
      driver: LOCAL_DRIVER,
      createdAt: (this.#deps.now?.() ?? new Date()).toISOString().replace(/\.\d+Z$/, "Z"),
      labels: labels === null ? null : JSON.stringify(labels),
      options: options === null ? null : JSON.stringify(options),
    };
    onCreate(name);
    this.#deps.table.insert(row);
    try {
      this.#makeDirectory(name);
    } catch (error) {
      this.#deps.table.delete(name);
      fail("internal", `create ${name}: error while creating volume data path '${this.#path(name)}': ${errorMessage(error)}`);
    }
    return { volume: this.#fromRow(row), created: true };
  }

  /**
   * Removes a volume; its content is out of the way at once and deleted in the background. With `force` a missing one is fine.
   * @throws notFound, conflict "remove x: volume is in use - [ids]"
   */
  remove(name: string, options: { readonly force?: boolean } = {}): LocalVolume | undefined {
    const volume = this.tryGet(name);
    if (!volume) {
      if (options.force) return undefined;
      fail("notFound", `get ${name}: no such volume`);
    }
    const users = this.references(name);
    if (users.length > 0) fail("conflict", `remove ${name}: volume is in use - [${users.join(", ")}]`);
    this.#unmount(volume);
    const { root, table } = this.#deps;
    const trash = `${root}/.removing/${name}.${randomBytes(4).toString("hex")}`;
    let moved = false;
    try {
      mkdirSync(`${root}/.removing`, { recursive: true, mode: 0o700 });
      renameSync(`${root}/${name}`, trash);
      moved = true;
    } catch (error) {
      if (errnoCode(error) !== "ENOENT")
        fail("internal", `remove ${name}: error removing volume path '${root}/${name}': ${errorMessage(error)}`);
    }
    table.delete(name);
    if (moved) this.#deleteLater(trash);
    return volume;
  }

  /** Makes a volume ready for a container: what its options name is mounted. Returns the content's path. @throws internal */
  use(name: string, containerId: string): string {
    const volume = this.get(name);
    this.#makeDirectory(name);
    if (needsMount(volume.options)) {
      const users = this.#users.get(name) ?? new Set();
      if (!isMountPoint(volume.path)) {
        try {
          mountLocal(volume.options ?? {}, volume.path);
        } catch (error) {
          fail("internal", `error while mounting volume '${volume.path}': ${errorMessage(error)}`);
        }
      }
      users.add(containerId);
      this.#users.set(name, users);
    }
    return volume.path;
  }

  /** Notes that a container, found running at start, uses the volume. */
  adopt(name: string, containerId: string): void {
    const volume = this.tryGet(name);
    if (!volume || !needsMount(volume.options)) return;
    const users = this.#users.get(name) ?? new Set();
    this.#users.set(name, users.add(containerId));
  }

  /** Ends a container's use; after the last one what was mounted for it is unmounted. */
  release(name: string, containerId: string): void {
    const users = this.#users.get(name);
    if (!users?.delete(containerId) || users.size > 0) return;
    this.#users.delete(name);
    const volume = this.tryGet(name);
    if (volume) this.#unmount(volume);
  }

  /** After every `adopt` at the daemon's start: unmounts what was mounted for containers that are gone. */
  unmountUnused(): void {
    for (const { mend } of this.#unusedMounts()) void mend();
  }

  #unmount(volume: LocalVolume): void {
    if (!needsMount(volume.options) || !isMountPoint(volume.path)) return;
    try {
      umount(volume.path);
    } catch (error) {
      fail("internal", `unmount volume ${volume.name}: ${errorMessage(error)}`);
    }
  }

  #path(name: string): string {
    return `${this.#deps.root}/${name}/_data`;
  }

  #makeDirectory(name: string): void {
    try {
      mkdirSync(`${this.#deps.root}/${name}`, 0o701);
    } catch (error) {
      if (errnoCode(error) !== "EEXIST") throw error;
    }
    try {
      mkdirSync(this.#path(name), 0o755);
    } catch (error) {
      if (errnoCode(error) === "EEXIST") return;
      rmdirSync(`${this.#deps.root}/${name}`);
      throw error;
    }
  }

  #fromRow(row: VolumeRow): LocalVolume {
    return {
      name: row.name,
      driver: row.driver,
      createdAt: row.createdAt,
      labels: row.labels === null ? null : (JSON.parse(row.labels) as StringMap),
      options: row.options === null ? null : (JSON.parse(row.options) as StringMap),
      path: this.#path(row.name),
    };
  }

  #deleteLater(path: string): void {
    const { log } = this.#deps;
    this.#deleting.add(path);
    rm(path, { recursive: true, force: true })
      .catch((error: unknown) => log.warn("delete a removed volume's content failed", { path, error }))
      .finally(() => this.#deleting.delete(path));
  }

  #entries(directory: string): string[] {
    try {
      return readdirSync(directory).filter((name) => lstatSync(`${directory}/${name}`).isDirectory());
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return [];
      throw error;
    }
  }

  #exists(path: string): boolean {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  }
}

function fail(kind: DhowError["kind"], message: string): never {
  throw new DhowError(kind, message);
}
