import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { type Defect, errnoCode } from "../lib/mod.ts";
import { type IdView, isMountPoint, MNT_DETACH, mountIdmapped, umount, withFsIds } from "../linux/mod.ts";
import { unmountOverlay } from "./overlay-mount.ts";

/** No key begins with a dot. */
const STAGE = ".stage";

/**
 * Root file systems in the ids of a user namespace. What is on disk stays as it is, in the image's own ids. On disk, mount points only:
 *
 *   <dir>/
 *   ├─ <key>/    a snapshot's mapped root file system; a user of the namespace reaches it, as nobody but the daemon's mount namespace sees it
 *   └─ .stage/   while an overlay is being mounted: its layers in the namespace's ids
 */
export class MappedRoots {
  readonly #dir: string;

  /** @param dir made when the first root is; everybody must be able to pass through it */
  constructor(dir: string) {
    this.#dir = dir;
  }

  /** The mapped root file system of a snapshot; undefined when it is not mounted. */
  find(key: string): string | undefined {
    const path = join(this.#dir, key);
    return isMountPoint(path) ? path : undefined;
  }

  /** Shows the directory `tree` as the root file system of `key`. @throws {SysError} */
  bind(key: string, tree: string, view: IdView): string {
    const target = this.#make(key);
    mountIdmapped(tree, target, view.userns);
    return target;
  }

  /**
   * Has `mount` mount a file system on the target that it is given, from directories below `root`, which it finds at the second path in
   * the namespace's ids. The kernel makes what an overlay needs in its work directory as whoever mounts it: as the namespace's root.
   * @throws {SysError}
   */
  stack(key: string, root: string, view: IdView, mount: (target: string, root: string) => void): string {
    const target = this.#make(key);
    const stage = this.#make(STAGE);
    mountIdmapped(root, stage, view.userns);
    try {
      withFsIds(view.root, () => mount(target, stage));
      return target;
    } finally {
      // the overlay has its own hold on them
      umount(stage, MNT_DETACH);
    }
  }

  /** Takes the root of `key` away; there is none: nothing. */
  remove(key: string): void {
    const path = join(this.#dir, key);
    unmountOverlay(path);
    try {
      rmdirSync(path);
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") throw error;
    }
  }

  /** What a killed daemon left, and roots of snapshots that nobody knows. */
  defects(isKnownKey: (key: string) => boolean): Defect[] {
    const isLeft = (key: string): boolean => (key === STAGE ? isMountPoint(join(this.#dir, key)) : !isKnownKey(key));
    return this.#entries()
      .filter(isLeft)
      .map((key) => ({ what: `mapped root ${join(this.#dir, key)} is of no snapshot`, owner: key, mend: () => this.remove(key) }));
  }

  #make(name: string): string {
    const path = join(this.#dir, name);
    // an overlay's root directory is the image's; the way to it is open to all
    mkdirSync(this.#dir, { recursive: true, mode: 0o711 });
    mkdirSync(path, { recursive: true, mode: 0o711 });
    return path;
  }

  #entries(): string[] {
    try {
      return readdirSync(this.#dir);
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return [];
      throw error;
    }
  }
}
