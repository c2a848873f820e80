import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, renameSync, rmdirSync, statSync } from "node:fs";
import { rm } from "node:fs/promises";
import { type Defect, DhowError, errnoCode, errorMessage, type Logger } from "../lib/mod.ts";
import { readMountInfo } from "../linux/mod.ts";
import { isMountedAside, mountLocal, mountLocalAside, needsMount } from "./local-driver.ts";
import { callMount, callMountAside, mountError } from "./mount-helper.ts";

/** A volume of the local driver, as far as its directory is concerned. */
export interface LocalEntry {
  readonly name: string;
  readonly options: Readonly<Record<string, string>> | null;
}

function fail(message: string, cause: unknown): never {
  throw new DhowError("internal", message, { cause });
}

/**
 * The directories of local volumes, and what is mounted in them:
 *
 *     <root>/            0701
 *     ├─ <name>/         0701
 *     │  └─ _data/       the volume's content; where options name a device, that is mounted here while it is used
 *     └─ .removing/      content of removed volumes until it is deleted
 */
export class LocalVolumes {
  readonly #root: string;
  readonly #log: Logger;
  /** Content that is being deleted, by its path. */
  readonly #deleting = new Set<string>();

  constructor(root: string, log: Logger) {
    this.#root = root;
    this.#log = log;
    mkdirSync(root, { recursive: true, mode: 0o701 });
  }

  path(name: string): string {
    return `${this.#root}/${name}/_data`;
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

  /** Mounts what the options name. A promise where that may take its time. @throws internal in docker's words */
  mount({ name, options }: LocalEntry): void | Promise<void> {
    const path = this.path(name);
    const failed = (cause: unknown): never => fail(`error while mounting volume '${path}': ${errorMessage(cause)}`, cause);
    if (isMountedAside(options)) return mountLocalAside(options ?? {}, path).catch(failed);
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
    rm(path, { recursive: true, force: true })
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
