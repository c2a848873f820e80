import type { IdView } from "../../linux/mod.ts";
import type { Snapshotter } from "../../snapshots/mod.ts";

/** A container's root file system, mounted until it is disposed of. */
export interface HeldRoot extends Disposable {
  readonly rootfs: string;
  /** Its files have the ids of the container's user namespace. */
  readonly isMapped: boolean;
}

/**
 * The mounted root file systems of containers. A run needs one, and so does everything that looks into a container; the last one to be
 * done with it unmounts it. Mounting it twice would give two views of one upper directory, which the kernel leaves undefined.
 */
export class RootMounts {
  readonly #snapshots: Snapshotter;
  readonly #running = new Set<string>();
  readonly #holds = new Map<string, number>();
  readonly #mapped = new Set<string>();

  constructor(snapshots: Snapshotter) {
    this.#snapshots = snapshots;
  }

  /** Whether a run or somebody who looks into it has it mounted. */
  isUsed(id: string): boolean {
    return this.#running.has(id) || this.#holds.has(id);
  }

  /**
   * Mounts it for a run of the container, until `release`; for one that runs already it says so. Returns its path.
   * With `view` its files have a user namespace's ids: who has held it before goes on in the image's, in a mount that ends with that.
   */
  use(id: string, view?: IdView): string {
    const rootfs = this.#snapshots.mount(id, view);
    this.#running.add(id);
    if (view !== undefined) this.#mapped.add(id);
    return rootfs;
  }

  /** Takes over what the last daemon mounted for a run that goes on. */
  adopt(id: string, isMapped: boolean): void {
    this.use(id);
    if (isMapped) this.#mapped.add(id);
  }

  /** The run is over. Again, or without a run: unmounts what nobody holds. */
  release(id: string): void {
    this.#running.delete(id);
    if (!this.#holds.has(id)) this.#unmount(id);
  }

  #unmount(id: string): void {
    this.#mapped.delete(id);
    this.#snapshots.unmount(id);
  }

  /** Mounts it to look into it, whether the container runs or not, starts or ends meanwhile. */
  hold(id: string): HeldRoot {
    const rootfs = this.#snapshots.mount(id);
    this.#holds.set(id, (this.#holds.get(id) ?? 0) + 1);
    let isHeld = true;
    return {
      rootfs,
      isMapped: this.#mapped.has(id),
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        const left = (this.#holds.get(id) ?? 1) - 1;
        if (left > 0) {
          this.#holds.set(id, left);
          return;
        }
        this.#holds.delete(id);
        if (!this.#running.has(id)) this.#unmount(id);
      },
    };
  }
}
