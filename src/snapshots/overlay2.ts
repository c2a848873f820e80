import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { join } from "node:path";
import { DirectoryQuotas, treeUsage } from "../files/mod.ts";
import { breather, type ChainId, type Defect, type Digest, digestHex, errnoCode, type Logger } from "../lib/mod.ts";
import { type Fd, type IdView, isMountPoint, O_DIRECTORY, O_RDONLY, open } from "../linux/mod.ts";
import { compareTrees, type Difference } from "./diff.ts";
import { MappedRoots } from "./mapped.ts";
import { OverlayChains } from "./overlay-chains.ts";
import { mountOverlay, unmountOverlay } from "./overlay-mount.ts";
import {
  checkKey,
  type LayerDraft,
  noSuchLayer,
  noSuchSnapshot,
  type PrepareOptions,
  type QuarantinedLayer,
  type SnapshotPaths,
  type Snapshotter,
  type SnapshotUsage,
  snapshotExists,
  strayKeys,
} from "./snapshotter.ts";
import { spreadDirectories } from "./spread-directories.ts";
import { Trash } from "./trash.ts";

const VOLATILE = " volatile";
const NONE = "none";

/**
 * Snapshots as overlay mounts. On disk, all of it plain files, no database:
 *
 *   <root>/
 *   ├─ active/<key>/
 *   │  ├─ diff/      what the snapshot adds: the overlay's upper directory
 *   │  ├─ work/      the overlay's own
 *   │  ├─ merged/    mount point
 *   │  └─ parent     symbolic link whose text is the parent's chainID or "none", and " volatile" for an ephemeral one
 *   ├─ drafts/<id>/  layers being unpacked, the same inside as a layer, and lower/, a mount point for the parent's view
 *   ├─ layers/<hex of the chainID>/
 *   │  ├─ diff/      the layer's own files; whiteouts in overlay form
 *   │  ├─ chain      the short names of this layer and those below it, top first, joined with ":"
 *   │  └─ recipe, moved, stash/   see recipe.ts
 *   ├─ l/<short>     symbolic link to ../layers/<hex>/diff: keeps mount options short
 *   ├─ quarantine/   damaged layers that mounts may still need
 *   └─ trash/        being deleted
 */
export class Overlay2 implements Snapshotter {
  readonly driver = "overlay2";
  readonly #root: string;
  readonly #trash: Trash;
  readonly #mapped: MappedRoots;
  readonly #quotas: DirectoryQuotas;
  readonly #chains: OverlayChains;
  /** Drafts that work in flight is about. */
  readonly #drafts = new Set<string>();

  /**
   * @param root the driver's own directory; made when missing
   * @param mapped where root file systems in other ids are mounted
   */
  constructor(root: string, log: Logger, mapped = join(root, "mapped")) {
    this.#root = root;
    this.#mapped = new MappedRoots(mapped);
    this.#quotas = new DirectoryQuotas(root);
    this.#chains = new OverlayChains(root);
    for (const name of ["active", "drafts", "layers", "l", "quarantine"]) mkdirSync(join(root, name), { recursive: true, mode: 0o711 });
    for (const name of ["active", "drafts"]) spreadDirectories(join(root, name));
    this.#trash = new Trash(join(root, "trash"), log);
  }

  hasQuotas(): boolean {
    return this.#quotas.isSupported();
  }

  prepare(key: string, parent: ChainId | null, options: PrepareOptions = {}): void {
    const dir = this.#active(checkKey(key));
    const top = this.#top(parent);
    try {
      mkdirSync(dir, { mode: 0o711 });
    } catch (error) {
      if (errnoCode(error) === "EEXIST") throw snapshotExists(key);
      throw error;
    }
    try {
      // what is made in it inherits the project
      if (options.limitBytes !== undefined) this.#quotas.limitEmpty(dir, options.limitBytes);
      // the root directory of the merged tree is the upper one
      makeRoot(join(dir, "diff"), top);
      mkdirSync(join(dir, "work"), { mode: 0o700 });
      mkdirSync(join(dir, "merged"), { mode: 0o755 });
      symlinkSync(`${parent ?? NONE}${options.isEphemeral ? VOLATILE : ""}`, join(dir, "parent"));
    } catch (error) {
      this.#discardActive(dir);
      throw error;
    }
  }

  mount(key: string, view?: IdView): string {
    const { parent, isVolatile } = this.#info(key);
    const dir = this.#active(key);
    const mapped = this.#mapped.find(key);
    if (mapped !== undefined) return mapped;
    // an overlay needs something below: an empty image's snapshot is a plain directory
    if (parent === null) return view === undefined ? join(dir, "diff") : this.#mapped.bind(key, join(dir, "diff"), view);
    const merged = join(dir, "merged");
    if (view === undefined && isMountPoint(merged)) return merged;
    // two overlays must not write to one upper directory
    if (view !== undefined) unmountOverlay(merged);
    if (isVolatile) forgetVolatile(join(dir, "work"));
    const upper = { upper: `active/${key}/diff`, work: `active/${key}/work` };
    const lowers = this.#chains.lowers(parent);
    if (view !== undefined)
      return this.#mapped.stack(key, this.#root, view, (target, root) => mountOverlay({ target, root, lowers, upper, isVolatile }));
    mountOverlay({ target: merged, root: this.#root, lowers, upper, isVolatile });
    return merged;
  }

  unmount(key: string): void {
    unmountOverlay(join(this.#active(checkKey(key)), "merged"));
    this.#mapped.remove(key);
  }

  paths(key: string): SnapshotPaths {
    const { parent } = this.#info(key);
    const dir = this.#active(key);
    return {
      rootfs: this.#mapped.find(key) ?? join(dir, parent === null ? "diff" : "merged"),
      upper: join(dir, "diff"),
      work: parent === null ? null : join(dir, "work"),
      lowers: parent === null ? [] : this.#chains.paths(parent),
    };
  }

  remove(key: string): void {
    this.unmount(key);
    this.#discardActive(this.#active(key));
  }

  /** The limit first: its project is free once the last file is deleted. */
  #discardActive(dir: string): void {
    this.#quotas.release(dir);
    this.#trash.throwIn(dir);
  }

  usage(key: string): Promise<SnapshotUsage> {
    this.#info(key);
    return treeUsage(join(this.#active(key), "diff"));
  }

  async *diff(key: string): AsyncGenerator<Difference, void, void> {
    const { parent } = this.#info(key);
    using upper = open(join(this.#active(key), "diff"), O_RDONLY | O_DIRECTORY);
    using lower = parent === null ? undefined : this.#openStack(this.#chains.lowers(parent));
    const breathe = breather();
    for (const difference of compareTrees({ upper, lower: lower ?? null, form: "overlay" })) {
      yield difference;
      await breathe();
    }
  }

  openRoot(key: string): Fd {
    const { parent } = this.#info(key);
    const dir = this.#active(key);
    if (parent === null) return open(join(dir, "diff"), O_RDONLY | O_DIRECTORY);
    const merged = join(dir, "merged");
    if (isMountPoint(merged)) return open(merged, O_RDONLY | O_DIRECTORY);
    return this.#openStack([`active/${key}/diff`, ...this.#chains.lowers(parent)]);
  }

  keys(): string[] {
    return readdirSync(join(this.#root, "active"));
  }

  async draft(parent: ChainId | null): Promise<LayerDraft> {
    const top = this.#top(parent);
    const id = randomBytes(8).toString("hex");
    const dir = join(this.#root, "drafts", id);
    mkdirSync(dir, { mode: 0o711 });
    this.#drafts.add(id);
    try {
      makeRoot(join(dir, "diff"), top);
    } catch (error) {
      this.#drafts.delete(id);
      this.#trash.throwIn(dir);
      throw error;
    }
    const view = join(dir, "lower");
    let isDone = false;
    return {
      dir,
      root: join(dir, "diff"),
      whiteouts: "overlay",
      lower: () => {
        if (parent === null) return null;
        const lowers = this.#chains.lowers(parent);
        // overlayfs wants two layers for a mount without an upper one
        if (lowers.length === 1) return this.layerPaths(parent).root;
        mkdirSync(view, { recursive: true });
        if (!isMountPoint(view)) mountOverlay({ target: view, root: this.#root, lowers, upper: null });
        return view;
      },
      commit: (chainId) => {
        if (isDone) return;
        unmountOverlay(view);
        this.#commit(dir, view, chainId, parent);
        this.#drafts.delete(id);
        isDone = true;
      },
      discard: () => {
        if (isDone) return;
        isDone = true;
        this.#drafts.delete(id);
        unmountOverlay(view);
        this.#trash.throwIn(dir);
      },
    };
  }

  layerPaths(chainId: ChainId): { readonly dir: string; readonly root: string } {
    const dir = join(this.#root, "layers", digestHex(chainId));
    return { dir, root: join(dir, "diff") };
  }

  removeLayer(chainId: ChainId): void {
    this.#chains.remove(chainId, () => this.#trash.throwIn(this.layerPaths(chainId).dir));
  }

  quarantineLayer(chainId: ChainId): void {
    const { dir } = this.layerPaths(chainId);
    const place = join(this.#root, "quarantine", `${digestHex(chainId)}.${randomBytes(4).toString("hex")}`);
    this.#chains.remove(chainId, () => {
      if (statSync(dir, { throwIfNoEntry: false }) === undefined) return;
      // when it comes to its new place is the change that its time tells of
      renameSync(dir, place);
      utimesSync(place, new Date(), new Date());
    });
  }

  quarantined(): QuarantinedLayer[] {
    return readdirSync(join(this.#root, "quarantine")).map((name) => {
      const path = join(this.#root, "quarantine", name);
      return { path, sinceMs: statSync(path).mtimeMs, discard: () => this.#trash.throwIn(path) };
    });
  }

  layers(): ChainId[] {
    return readdirSync(join(this.#root, "layers")).map((hex) => `sha256:${hex}` as Digest as ChainId);
  }

  usersOf(chainId: ChainId): string[] {
    return this.keys().filter((key) => this.#tryInfo(key)?.parent === chainId);
  }

  defects(isKnownKey: (key: string) => boolean): Defect[] {
    const drafts = readdirSync(join(this.#root, "drafts")).filter((id) => !this.#drafts.has(id));
    return [
      ...strayKeys(this, isKnownKey),
      ...this.#mapped.defects(isKnownKey),
      ...drafts.map((id) => {
        const dir = join(this.#root, "drafts", id);
        return { what: `${dir} was never made a layer`, mend: () => this.#discardDraft(dir) };
      }),
      ...this.#chains.defects(this.layers()),
      ...this.#trash.defects(),
    ];
  }

  #discardDraft(dir: string): void {
    unmountOverlay(join(dir, "lower"));
    this.#trash.throwIn(dir);
  }

  drain(): Promise<void> {
    return this.#trash.drain();
  }

  #active(key: string): string {
    return join(this.#root, "active", key);
  }

  #info(key: string): { readonly parent: ChainId | null; readonly isVolatile: boolean } {
    const info = this.#tryInfo(checkKey(key));
    if (info === undefined) throw noSuchSnapshot(key);
    return info;
  }

  #tryInfo(key: string): { readonly parent: ChainId | null; readonly isVolatile: boolean } | undefined {
    try {
      const text = readlinkSync(join(this.#active(key), "parent"));
      const parent = text.replace(VOLATILE, "");
      return { parent: parent === NONE ? null : (parent as Digest as ChainId), isVolatile: text.endsWith(VOLATILE) };
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** The root of the tree that a new one goes on top of. */
  #top(parent: ChainId | null): Stats | undefined {
    if (parent === null) return undefined;
    const top = statSync(this.layerPaths(parent).root, { throwIfNoEntry: false });
    if (top === undefined) throw noSuchLayer(parent);
    return top;
  }

  /** The merged tree of layers (relative to the root, top first), to be read; it is mounted for as long as it is open. */
  #openStack(lowers: readonly string[]): Fd {
    // overlayfs wants two layers for a mount without an upper one
    const [only, second] = lowers;
    if (only !== undefined && second === undefined) return open(join(this.#root, only), O_RDONLY | O_DIRECTORY);
    // where `defects` looks: all of this is one step for everybody but a crash
    const dir = join(this.#root, "drafts", randomBytes(8).toString("hex"));
    const target = join(dir, "lower");
    mkdirSync(target, { recursive: true, mode: 0o700 });
    try {
      mountOverlay({ target, root: this.#root, lowers, upper: null });
      return open(target, O_RDONLY | O_DIRECTORY);
    } finally {
      unmountOverlay(target);
      rmSync(dir, { recursive: true, force: true });
    }
  }

  #commit(dir: string, view: string, chainId: ChainId, parent: ChainId | null): void {
    rmSync(view, { recursive: true, force: true });
    const target = this.layerPaths(chainId).dir;
    this.#chains.add(chainId, parent, dir, () => {
      // a directory without a row in the database is a leftover
      this.#trash.throwIn(target);
      renameSync(dir, target);
    });
  }
}

/** Makes the root directory of a tree like the parent's. */
function makeRoot(path: string, like: { readonly mode: number; readonly uid: number; readonly gid: number } | undefined): void {
  mkdirSync(path, { mode: 0o755 });
  if (like === undefined) return;
  if ((like.mode & 0o7777) !== 0o755) chmodSync(path, like.mode & 0o7777);
  if (like.uid !== 0 || like.gid !== 0) chownSync(path, like.uid, like.gid);
}

/** Lets a volatile overlay be mounted once more. What a crash may have damaged is the container's, which is ephemeral. */
function forgetVolatile(work: string): void {
  rmSync(join(work, "work", "incompat", "volatile"), { recursive: true, force: true });
}
