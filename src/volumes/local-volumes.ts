import { randomBytes } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { DirectoryQuotas } from "../files/mod.ts";
import { type Defect, DhowError, errnoCode, errorMessage, type Logger } from "../lib/mod.ts";
import { readMountInfo } from "../linux/mod.ts";
import { isMountedAside, mountLocal, mountLocalAside, needsMount } from "./local-driver.ts";
import { callMount, callMountAside, mountError } from "./mount-helper.ts";
import { isSized, makeSized, mountSized, parseVolumeSize, resizeSized } from "./sized-volume.ts";

/** A volume of the local driver, as far as its directory is concerned. */
export interface LocalEntry {
  readonly name: string;
  readonly options: Readonly<Record<string, string>> | null;
}

function fail(message: string, cause: unknown): never {
  throw new DhowError("internal", message, { cause });
}

/** A volume that is being made. */
export interface VolumeDraft {
  /** Where its content goes. */
  readonly path: string;
  /** Puts it in its place, then has `write` note it, and returns what that does. @throws internal */
  commit<T>(write: () => T): Promise<T>;
  discard(): Promise<void>;
}

const IMAGE = "image.ext4";
const RESIZING = "resizing";

/**
 * The directories of local volumes, and what is mounted in them:
 *
 *     <root>/            0701
 *     ├─ <name>/         0701
 *     │  ├─ _data/       the volume's content; where options name a device or a size, that is mounted here while it is used
 *     │  ├─ image.ext4   of a volume with a size, where the file system has no project quotas: one of its own
 *     │  └─ resizing     while it is given another size: that size, as it was asked for
 *     ├─ .making/        volumes that are being filled: nobody knows them yet
 *     ├─ .renaming/      a link `<old name>` → `<new name>` while a volume is being renamed
 *     └─ .removing/      content of removed volumes until it is deleted
 */
export class LocalVolumes {
  readonly #root: string;
  readonly #log: Logger;
  readonly #quotas: DirectoryQuotas;
  /** Content that is being deleted, by its path. */
  readonly #deleting = new Set<string>();

  constructor(root: string, log: Logger) {
    this.#root = root;
    this.#log = log;
    this.#quotas = new DirectoryQuotas(root);
    mkdirSync(root, { recursive: true, mode: 0o701 });
  }

  path(name: string): string {
    return `${this.#root}/${name}/_data`;
  }

  /** The file that a volume with a size is in. */
  imageFile(name: string): string {
    return `${this.#root}/${name}/${IMAGE}`;
  }

  /** Notes that the volume is about to get another size. */
  noteResize(name: string, size: string): void {
    writeFileSync(`${this.#root}/${name}/${RESIZING}`, size, { mode: 0o600 });
  }

  /** The size that a volume was about to get, if any. */
  notedResize(name: string): string | undefined {
    const file = `${this.#root}/${name}/${RESIZING}`;
    return existsSync(file) ? readFileSync(file, "utf8") : undefined;
  }

  forgetResize(name: string): void {
    rmSync(`${this.#root}/${name}/${RESIZING}`, { force: true });
  }

  /** What that file takes on the disk; undefined for a volume without one. */
  imageBytes(name: string): number | undefined {
    const image = statSync(this.imageFile(name), { throwIfNoEntry: false });
    return image && image.blocks * 512;
  }

  /** Gives a volume another size, or one. @throws conflict, internal, unsupported for one without a file where there are no quotas */
  async resize(name: string, sizeBytes: number, path: string | undefined): Promise<void> {
    if (existsSync(this.imageFile(name))) return resizeSized(this.imageFile(name), sizeBytes, path);
    await this.#quotas.limit(this.path(name), sizeBytes);
  }

  /** Whether volumes that were made without a size can be given one. */
  hasQuotas(): boolean {
    return this.#quotas.isSupported();
  }

  /** The options that a directory which no row knows must have had; null for none. */
  optionsOf(name: string): Readonly<Record<string, string>> | null {
    const size = statSync(this.imageFile(name), { throwIfNoEntry: false })?.size ?? this.#quotas.limitBytes(this.path(name));
    return size === undefined ? null : { size: String(size) };
  }

  /** Begins a volume that is filled before anybody knows it; one of that name at a time. @throws internal */
  async draft({ name, options }: LocalEntry): Promise<VolumeDraft> {
    const directory = `${this.#root}/.making/${name}`;
    const path = `${directory}/_data`;
    await this.#discard(directory);
    mkdirSync(`${this.#root}/.making`, { recursive: true, mode: 0o700 });
    mkdirSync(directory, 0o701);
    mkdirSync(path, 0o755);
    let isMounted = false;
    const unmount = async (): Promise<void> => {
      if (isMounted) await callMountAside({ kind: "umount", target: path });
      isMounted = false;
    };
    const draft: VolumeDraft = {
      path,
      commit: async (write) => {
        await unmount();
        return this.#move(directory, `${this.#root}/${name}`, write);
      },
      discard: async () => {
        await unmount();
        await rm(directory, { recursive: true, force: true });
      },
    };
    if (!isSized(options)) return draft;
    const sizeBytes = parseVolumeSize(options?.["size"] ?? "");
    try {
      if (this.#quotas.isSupported()) return await this.#limited(draft, sizeBytes);
      await makeSized(`${directory}/${IMAGE}`, sizeBytes);
      await mountSized(`${directory}/${IMAGE}`, path);
      isMounted = true;
      return draft;
    } catch (error) {
      await draft.discard();
      throw error;
    }
  }

  /** No limit holds for who fills it, if that has CAP_SYS_RESOURCE: it is looked at in the end. */
  async #limited(draft: VolumeDraft, sizeBytes: number): Promise<VolumeDraft> {
    await this.#quotas.limit(draft.path, sizeBytes);
    return {
      ...draft,
      commit: async (write) => {
        if (this.#quotas.usedBytes(draft.path) > sizeBytes) throw new DhowError("internal", "no space left on device");
        return draft.commit(write);
      },
      discard: async () => {
        this.#quotas.release(draft.path);
        await draft.discard();
      },
    };
  }

  async #discard(directory: string): Promise<void> {
    const mounted = readMountInfo().some(({ mountPoint }) => mountPoint === `${directory}/_data`);
    if (mounted) await callMountAside({ kind: "umount", target: `${directory}/_data` });
    this.#quotas.release(`${directory}/_data`);
    await rm(directory, { recursive: true, force: true });
  }

  /** Drafts that no work is about. */
  strayDrafts(isBusy: (name: string) => boolean): Defect[] {
    const left = this.#entries(`${this.#root}/.making`).filter((name) => !isBusy(name));
    return left.map((name) => ({
      what: `volume ${name} was begun and never finished`,
      mend: () => (isBusy(name) ? undefined : this.#discard(`${this.#root}/.making/${name}`)),
    }));
  }

  /** Gives a directory another name and has `write` note it, so that a crash in between leaves it under one of them. @throws internal */
  rename(from: string, to: string, write: () => void): void {
    const link = `${this.#root}/.renaming/${from}`;
    mkdirSync(`${this.#root}/.renaming`, { recursive: true, mode: 0o700 });
    rmSync(link, { force: true });
    symlinkSync(to, link);
    try {
      this.#move(`${this.#root}/${from}`, `${this.#root}/${to}`, write);
    } catch (cause) {
      throw new DhowError("internal", `rename volume ${from}: ${errorMessage(cause)}`, { cause });
    } finally {
      rmSync(link);
    }
  }

  /** Renames a directory and has `write` note it; what can't be noted has not happened. */
  #move<T>(from: string, to: string, write: () => T): T {
    renameSync(from, to);
    try {
      return write();
    } catch (error) {
      renameSync(to, from);
      throw error;
    }
  }

  /** Renames that a crash cut short; `write` notes what has happened on the disk. */
  finishRenames(write: (from: string, to: string) => void): void {
    const directory = `${this.#root}/.renaming`;
    for (const from of existsSync(directory) ? readdirSync(directory) : []) {
      const to = readlinkSync(`${directory}/${from}`);
      if (!existsSync(`${this.#root}/${from}`) && existsSync(`${this.#root}/${to}`)) write(from, to);
      rmSync(`${directory}/${from}`);
    }
  }

  /** The names that have a directory. */
  names(): string[] {
    return this.#entries(this.#root).filter((name) => !name.startsWith(".") && this.hasDirectory(name));
  }

  /** Not whether what is mounted there answers. */
  hasDirectory(name: string): boolean {
    return this.#entries(`${this.#root}/${name}`).includes("_data");
  }

  /** Makes the directory where it is missing. @throws a `node:fs` error */
  makeDirectory(name: string): void {
    try {
      mkdirSync(`${this.#root}/${name}`, 0o701);
    } catch (error) {
      if (errnoCode(error) !== "EEXIST") throw error;
    }
    try {
      mkdirSync(this.path(name), 0o755);
    } catch (error) {
      if (errnoCode(error) === "EEXIST") return;
      rmdirSync(`${this.#root}/${name}`);
      throw error;
    }
  }

  /** Takes the directory out of the way at once; `delete` begins the deletion of its content. Undefined when there was none. @throws internal */
  moveAway(name: string): { readonly delete: () => void } | undefined {
    const trash = `${this.#root}/.removing/${name}.${randomBytes(4).toString("hex")}`;
    try {
      mkdirSync(`${this.#root}/.removing`, { recursive: true, mode: 0o700 });
      renameSync(`${this.#root}/${name}`, trash);
      return { delete: () => this.#deleteLater(trash) };
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return undefined;
      return fail(`remove ${name}: error removing volume path '${this.#root}/${name}': ${errorMessage(error)}`, error);
    }
  }

  /** Removals that were cut short; `forget` takes a name that is no volume any longer. */
  unfinishedRemovals(forget: (name: string) => void): Defect[] {
    const directory = `${this.#root}/.removing`;
    const left = this.#entries(directory).filter((entry) => !this.#deleting.has(`${directory}/${entry}`));
    return left.map((entry) => ({
      what: `content of a removed volume in ${directory}/${entry}`,
      mend: () => {
        const name = entry.replace(/\.[0-9a-f]{8}$/, "");
        if (statSync(`${this.#root}/${name}`, { throwIfNoEntry: false }) === undefined) forget(name);
        this.#deleteLater(`${directory}/${entry}`);
      },
    }));
  }

  isMounted({ name, options }: LocalEntry): boolean {
    // not by looking at the place itself: a server that is away would not answer
    return needsMount(options) && readMountInfo().some(({ mountPoint }) => mountPoint === this.path(name));
  }

  /** Without a file a quota limits a volume, or its directory was lost and made anew: then it gets its size again. */
  #limitAgain(name: string, options: LocalEntry["options"]): Promise<void> | undefined {
    const path = this.path(name);
    const sizeBytes = parseVolumeSize(options?.["size"] ?? "");
    if (this.#quotas.isSupported()) return this.#quotas.limitBytes(path) === undefined ? this.#quotas.limit(path, sizeBytes) : undefined;
    // what came here with its content from a file system with quotas stays as it is
    return readdirSync(path).length > 0 ? undefined : this.#makeAgain(name, sizeBytes);
  }

  async #makeAgain(name: string, sizeBytes: number): Promise<void> {
    const file = this.imageFile(name);
    rmSync(`${file}.part`, { force: true });
    await makeSized(`${file}.part`, sizeBytes);
    renameSync(`${file}.part`, file);
    await mountSized(file, this.path(name));
  }

  /** Mounts what the options name. A promise where that may take its time. @throws internal in docker's words, and the signal's reason */
  mount({ name, options }: LocalEntry, signal?: AbortSignal): void | Promise<void> {
    const path = this.path(name);
    const failed = (cause: unknown): never => {
      signal?.throwIfAborted();
      return fail(`error while mounting volume '${path}': ${errorMessage(cause)}`, cause);
    };
    if (isSized(options) && !existsSync(this.imageFile(name))) return this.#limitAgain(name, options)?.catch(failed);
    if (isSized(options)) return mountSized(this.imageFile(name), path).catch(failed);
    if (isMountedAside(options)) return mountLocalAside(options ?? {}, path, signal).catch(failed);
    try {
      mountLocal(options ?? {}, path);
    } catch (error) {
      failed(error);
    }
  }

  /** Unmounts it if it is mounted. A promise where that may take its time. @throws internal */
  unmount(volume: LocalEntry): void | Promise<void> {
    if (!this.isMounted(volume)) return;
    const call = { kind: "umount", target: this.path(volume.name) } as const;
    const failed = (cause: unknown): never => fail(`unmount volume ${volume.name}: ${mountError(cause)}`, cause);
    if (isMountedAside(volume.options)) return callMountAside(call).catch(failed);
    try {
      callMount(call);
    } catch (error) {
      failed(error);
    }
  }

  #deleteLater(path: string): void {
    this.#deleting.add(path);
    unmountBelow(path)
      .then(() => this.#quotas.release(`${path}/_data`))
      .then(() => rm(path, { recursive: true, force: true }))
      .catch((error: unknown) => this.#log.warn("delete a removed volume's content failed", { path, error }))
      .finally(() => this.#deleting.delete(path));
  }

  #entries(directory: string): string[] {
    try {
      return readdirSync(directory, { withFileTypes: true })
        .filter(
          (entry) =>
            entry.isDirectory() || (!entry.isFile() && !entry.isSymbolicLink() && lstatSync(`${directory}/${entry.name}`).isDirectory()),
        )
        .map(({ name }) => name);
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return [];
      throw error;
    }
  }
}

/** What somebody has mounted in a removed volume is none of its content: it is unmounted, not deleted. @throws internal */
async function unmountBelow(directory: string): Promise<void> {
  const inside = readMountInfo().filter(({ mountPoint }) => mountPoint.startsWith(`${directory}/`));
  for (const { mountPoint } of inside.reverse()) await callMountAside({ kind: "umount", target: mountPoint });
}
