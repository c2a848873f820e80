import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readdirSync, readlinkSync, renameSync, statSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { treeUsage } from "../files/mod.ts";
import { breather, type ChainId, type Defect, DhowError, type Digest, digestHex, errnoCode, type Logger } from "../lib/mod.ts";
import { type Fd, type IdView, O_DIRECTORY, O_RDONLY, open } from "../linux/mod.ts";
import { compareTrees, type Difference } from "./diff.ts";
import { MappedRoots } from "./mapped.ts";
import {
  checkKey,
  type LayerDraft,
  noSuchLayer,
  noSuchSnapshot,
  type QuarantinedLayer,
  type SnapshotPaths,
  type Snapshotter,
  type SnapshotUsage,
  snapshotExists,
  strayKeys,
} from "./snapshotter.ts";
import { Trash } from "./trash.ts";

const NONE = "none";

/**
 * Snapshots as plain copies, for hosts without overlay: every layer is a whole root file system. Blocks are shared where the file
 * system can (reflinks on XFS, btrfs, bcachefs). On disk:
 *
 *   <root>/
 *   ├─ active/<key>/
 *   │  ├─ rootfs/    the whole tree
 *   │  └─ parent     symbolic link whose text is the parent's chainID, or "none"
 *   ├─ drafts/<id>/  layers being unpacked and snapshots being copied
 *   ├─ layers/<hex of the chainID>/
 *   │  ├─ rootfs/    the whole tree: the parent's with this layer's changes
 *   │  └─ recipe, moved, stash/   see recipe.ts
 *   └─ trash/        being deleted
 */
export class Native implements Snapshotter {
  readonly driver = "native";
  readonly #root: string;
  readonly #trash: Trash;
  readonly #mapped: MappedRoots;
  /** Drafts that work in flight is about. */
  readonly #drafts = new Set<string>();

  /**
   * @param root the driver's own directory; made when missing
   * @param mapped where root file systems in other ids are mounted
   */
  constructor(root: string, log: Logger, mapped = join(root, "mapped")) {
    this.#root = root;
    this.#mapped = new MappedRoots(mapped);
    for (const name of ["active", "drafts", "layers"]) mkdirSync(join(root, name), { recursive: true, mode: 0o711 });
    this.#trash = new Trash(join(root, "trash"), log);
  }

  hasQuotas(): boolean {
    return false;
  }

  async prepare(key: string, parent: ChainId | null): Promise<void> {
    const target = this.#active(checkKey(key));
    if (statSync(target, { throwIfNoEntry: false })) throw snapshotExists(key);
    const dir = await this.#copy(parent);
    try {
      symlinkSync(parent ?? NONE, join(dir, "parent"));
      renameSync(dir, target);
      this.#drafts.delete(basename(dir));
    } catch (error) {
      this.#drafts.delete(basename(dir));
      this.#trash.throwIn(dir);
      // two at once: a rename onto a directory that is not empty
      if (errnoCode(error) === "ENOTEMPTY" || errnoCode(error) === "EEXIST") throw snapshotExists(key);
      throw error;
    }
  }

  mount(key: string, view?: IdView): string {
    this.#parent(key);
    const rootfs = join(this.#active(key), "rootfs");
    const mapped = this.#mapped.find(key);
    return mapped ?? (view === undefined ? rootfs : this.#mapped.bind(key, rootfs, view));
  }

  unmount(key: string): void {
    this.#mapped.remove(checkKey(key));
  }

  paths(key: string): SnapshotPaths {
    this.#parent(key);
    const rootfs = join(this.#active(key), "rootfs");
    return { rootfs: this.#mapped.find(key) ?? rootfs, upper: rootfs, work: null, lowers: [] };
  }

  remove(key: string): void {
    this.unmount(key);
    this.#trash.throwIn(this.#active(checkKey(key)));
  }

  usage(key: string): Promise<SnapshotUsage> {
    const parent = this.#parent(key);
    return treeUsage(join(this.#active(key), "rootfs"), parent === null ? undefined : this.layerPaths(parent).root);
  }

  async *diff(key: string): AsyncGenerator<Difference, void, void> {
    const parent = this.#parent(key);
    using upper = this.openRoot(key);
    using lower = parent === null ? undefined : open(this.layerPaths(parent).root, O_RDONLY | O_DIRECTORY);
    const breathe = breather();
    for (const difference of compareTrees({ upper, lower: lower ?? null, form: "whole" })) {
      yield difference;
      await breathe();
    }
  }

  openRoot(key: string): Fd {
    this.#parent(key);
    return open(join(this.#active(key), "rootfs"), O_RDONLY | O_DIRECTORY);
  }

  keys(): string[] {
    return readdirSync(join(this.#root, "active"));
  }

  async draft(parent: ChainId | null): Promise<LayerDraft> {
    const dir = await this.#copy(parent);
    let isDone = false;
    return {
      dir,
      root: join(dir, "rootfs"),
      whiteouts: "remove",
      lower: () => null,
      commit: (chainId) => {
        if (isDone) return;
        // a directory without a row in the database is a leftover
        this.#trash.throwIn(this.layerPaths(chainId).dir);
        renameSync(dir, this.layerPaths(chainId).dir);
        this.#drafts.delete(basename(dir));
        isDone = true;
      },
      discard: () => {
        if (!isDone) this.#trash.throwIn(dir);
        this.#drafts.delete(basename(dir));
        isDone = true;
      },
    };
  }

  layerPaths(chainId: ChainId): { readonly dir: string; readonly root: string } {
    const dir = join(this.#root, "layers", digestHex(chainId));
    return { dir, root: join(dir, "rootfs") };
  }

  removeLayer(chainId: ChainId): void {
    this.#trash.throwIn(this.layerPaths(chainId).dir);
  }

  layers(): ChainId[] {
    return readdirSync(join(this.#root, "layers")).map((hex) => `sha256:${hex}` as Digest as ChainId);
  }

  usersOf(chainId: ChainId): string[] {
    return this.keys().filter((key) => this.#parent(key) === chainId);
  }

  /** No mount stands on a layer: snapshots are copies. */
  quarantineLayer(chainId: ChainId): void {
    this.removeLayer(chainId);
  }

  quarantined(): readonly QuarantinedLayer[] {
    return [];
  }

  defects(isKnownKey: (key: string) => boolean): Defect[] {
    const drafts = readdirSync(join(this.#root, "drafts")).filter((id) => !this.#drafts.has(id));
    return [
      ...strayKeys(this, isKnownKey),
      ...this.#mapped.defects(isKnownKey),
      ...drafts.map((id) => {
        const dir = join(this.#root, "drafts", id);
        return { what: `${dir} was never made a layer`, mend: () => this.#trash.throwIn(dir) };
      }),
      ...this.#trash.defects(),
    ];
  }

  drain(): Promise<void> {
    return this.#trash.drain();
  }

  #active(key: string): string {
    return join(this.#root, "active", key);
  }

  #parent(key: string): ChainId | null {
    try {
      const text = readlinkSync(join(this.#active(checkKey(key)), "parent"));
      return text === NONE ? null : (text as Digest as ChainId);
    } catch (error) {
      if (errnoCode(error) === "ENOENT") throw noSuchSnapshot(key);
      throw error;
    }
  }

  /** A new draft directory with a copy of the parent's tree. @throws unavailable when the copy fails */
  async #copy(parent: ChainId | null): Promise<string> {
    const from = parent === null ? null : this.layerPaths(parent).root;
    if (parent !== null && from !== null && !statSync(from, { throwIfNoEntry: false })) throw noSuchLayer(parent);
    const id = randomBytes(8).toString("hex");
    const dir = join(this.#root, "drafts", id);
    const to = join(dir, "rootfs");
    mkdirSync(dir, { mode: 0o711 });
    this.#drafts.add(id);
    try {
      mkdirSync(to, { mode: 0o755 });
      chmodSync(to, 0o755);
      if (from === null) return dir;
      await copyTree(from, to);
      return dir;
    } catch (error) {
      this.#drafts.delete(id);
      this.#trash.throwIn(dir);
      throw error;
    }
  }
}

/** Copies a tree with everything: owners, times, xattrs, hard links, holes, devices. coreutils' cp is the one tool that does. */
async function copyTree(from: string, to: string): Promise<void> {
  const cp = Bun.spawn(["cp", "-a", "--reflink=auto", "--sparse=auto", "--", `${from}/.`, to], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
  });
  const [message, code] = await Promise.all([new Response(cp.stderr).text(), cp.exited]);
  if (code === 0) return;
  const first = message.trim().split("\n").at(-1) ?? "";
  throw new DhowError("unavailable", `copy snapshot: ${first.replace(/^cp: /, "")}`);
}
