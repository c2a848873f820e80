import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Chunker } from "../files/mod.ts";
import {
  breather,
  type ChainId,
  chainId,
  type Defect,
  DhowError,
  type DiffId,
  type Digest,
  decompress,
  encodeName,
  errorKind,
  errorMessage,
  KeyedMutex,
  type Logger,
} from "../lib/mod.ts";
import {
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  open,
  openat2,
  pread,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
} from "../linux/mod.ts";
import { LayerSync } from "./layer-sync.ts";
import { type Instruction, RecipeWriter, readRecipe } from "./recipe.ts";
import { type LayerDraft, noSuchLayer, type Snapshotter } from "./snapshotter.ts";
import { Tree } from "./tree.ts";
import { unpack } from "./unpack.ts";

const BOOT_ID = "/proc/sys/kernel/random/boot_id";

/** A layer that is on disk, unpacked. */
export interface Layer {
  readonly chainId: ChainId;
  readonly diffId: DiffId;
  readonly parent: ChainId | null;
  /** Sum of the sizes of its files. */
  readonly sizeBytes: number;
  /** Length of its uncompressed tar. */
  readonly tarSizeBytes: number;
}

/** What makes a layer's chainID. */
export interface LayerPlace {
  readonly diffId: DiffId;
  readonly parent: ChainId | null;
}

/** Where the store keeps its rows: metadata's `LayersTable`. */
export interface LayerRecords {
  get(chain: ChainId): Layer | null;
  all(): Layer[];
  /** The layers right on top of one. */
  children(chain: ChainId): ChainId[];
  /** Adds a layer whose files the kernel of boot `unsyncedBoot` has yet to write to the disk. */
  insert(layer: Layer, unsyncedBoot: string): void;
  delete(chain: ChainId): void;
  /** The layers that may not be on the disk whole, with the boot in which they were written. */
  unsynced(): (Layer & { readonly boot: string })[];
  setSynced(chain: ChainId): void;
}

export interface ApplyOptions {
  readonly parent: ChainId | null;
  /** What the uncompressed tar's digest must be. */
  readonly diffId?: DiffId;
  readonly signal: AbortSignal;
  /** What the layer is called in error messages. */
  readonly name: string;
  /** The tar is not compressed: its first bytes are the name of a file, which may begin as a compressed stream does. */
  readonly isPlain?: boolean;
  /** Told how many bytes of the source have been read, now and then. */
  readonly onProgress?: (bytes: number) => void;
}

export interface LayerStoreOptions {
  readonly table: LayerRecords;
  readonly snapshotter: Snapshotter;
  readonly log: Logger;
  /** The id of this boot of the machine; for tests. */
  readonly bootId?: string;
}

/**
 * Layers by chainID, each unpacked once on disk by the snapshotter, with a row in the database. A layer without a row does not exist:
 * `recover` deletes what a crash left.
 */
export class LayerStore {
  readonly #table: LayerRecords;
  readonly #snapshotter: Snapshotter;
  readonly #log: Logger;
  readonly #bootId: string;
  readonly #mutex = new KeyedMutex();
  readonly #sync: LayerSync;

  constructor(options: LayerStoreOptions) {
    this.#table = options.table;
    this.#snapshotter = options.snapshotter;
    this.#log = options.log;
    this.#sync = new LayerSync({
      records: options.table,
      directoryOf: (chain) => options.snapshotter.layerPaths(chain).dir,
      log: options.log,
    });
    this.#bootId = options.bootId ?? readFileSync(BOOT_ID, "utf8").trim();
  }

  get(chain: ChainId): Layer | undefined {
    return this.#table.get(chain) ?? undefined;
  }

  /** All layers, by chainID. */
  list(): Layer[] {
    return this.#table.all();
  }

  /** The root of a layer's own tree; with the native snapshotter the whole file system up to it. @throws notFound */
  rootfsPath(chain: ChainId): string {
    if (!this.get(chain)) throw noSuchLayer(chain);
    return this.#snapshotter.layerPaths(chain).root;
  }

  /**
   * Unpacks a layer's tar (plain, gzip or zstd). When the layer is there already it is returned and `tar` is left unread; the same
   * layer applied twice at once is unpacked once. On failure nothing is left.
   * @throws invalid for a malformed, malicious or wrong archive; notFound when the parent is not there; unavailable on a full disk.
   * Messages name the layer, and the entry when it is to blame
   */
  apply(tar: AsyncIterable<Uint8Array>, options: ApplyOptions): Promise<Layer> {
    const { parent, diffId } = options;
    if (diffId === undefined) return this.#apply(tar, options);
    const chain = chainId(parent, diffId);
    return this.#mutex.run(chain, () => this.get(chain) ?? this.#apply(tar, options));
  }

  /** Forgets a layer and deletes it in the background; an unknown one is fine. @throws conflict when a layer or a snapshot is on top of it */
  async remove(chain: ChainId): Promise<void> {
    await this.#mutex.run(chain, () => {
      const users = [...this.#table.children(chain), ...this.#snapshotter.usersOf(chain)];
      if (users.length > 0) throw new DhowError("conflict", `remove layer ${chain}: it is used by ${users[0]}`);
      this.#table.delete(chain);
      this.#snapshotter.removeLayer(chain);
    });
  }

  /**
   * The layer's tar, byte for byte as it was applied, uncompressed. Chunks are the caller's to keep, or `lent`: good until the next one
   * is asked for, which spares the kernel the zeroing of memory.
   * @throws notFound; internal, before the last chunk, when the files on disk are no longer those that were unpacked
   */
  async *tar(chain: ChainId, { lent = false }: { readonly lent?: boolean } = {}): AsyncGenerator<Uint8Array, void, void> {
    const layer = this.get(chain);
    if (layer === undefined) throw noSuchLayer(chain);
    const hash = new Bun.CryptoHasher("sha256");
    const breathe = breather();
    let held: Uint8Array | undefined;
    for (const chunk of assemble(this.#snapshotter.layerPaths(chain).dir, this.#recipe(chain), new Chunker(lent))) {
      hash.update(chunk);
      if (held) yield held;
      held = chunk;
      await breathe();
    }
    const found = `sha256:${hash.digest("hex")}`;
    if (found !== layer.diffId) throw new DhowError("internal", `read layer ${chain}: its files make ${found}, expected ${layer.diffId}`);
    if (held) yield held;
  }

  /**
   * At the daemon's start: deletes layers that a crash left half-made, forgets those that are gone, and checks those that were not yet
   * on the disk when the machine went down.
   */
  async recover(): Promise<void> {
    for (const chain of this.unknown()) this.#snapshotter.removeLayer(chain);
    for (const { mend } of this.missing()) await mend();
    for (const { chainId: chain, boot } of this.#table.unsynced()) {
      if (boot === this.#bootId) continue;
      const damage = await this.damageOf(chain);
      if (damage === undefined) this.#table.setSynced(chain);
      else this.#drop(chain, damage, (each) => this.#snapshotter.removeLayer(each));
    }
    if (this.#table.unsynced().length > 0) this.#sync.soon();
  }

  /** The layers on disk without a row: nobody's. */
  unknown(): ChainId[] {
    const known = new Set(this.list().map((row) => row.chainId));
    return this.#snapshotter.layers().filter((chain) => !known.has(chain));
  }

  #recipe(chain: ChainId): Iterable<Instruction> {
    const { dir, root } = this.#snapshotter.layerPaths(chain);
    return readRecipe(dir, root.slice(dir.length + 1));
  }

  /**
   * Gives a layer that has lost its row a new one, if its files are those that `place` says. Returns whether it has one.
   * @throws notFound when the parent has none; what reading it throws
   */
  async takeIn(chain: ChainId, { diffId, parent }: LayerPlace): Promise<boolean> {
    return this.#mutex.run(chain, async () => {
      if (this.get(chain)) return true;
      if (parent !== null && !this.get(parent)) throw noSuchLayer(parent);
      const found = await this.#measure(chain);
      if (found.diffId !== diffId) return false;
      let sizeBytes = 0;
      for (const step of this.#recipe(chain)) if (step.kind === "file") sizeBytes += step.length;
      this.#table.insert({ chainId: chain, diffId, parent, sizeBytes, tarSizeBytes: found.tarSizeBytes }, this.#bootId);
      return true;
    });
  }

  /** Makes a layer's tar from its files, and throws it away. */
  async #measure(chain: ChainId): Promise<{ readonly diffId: DiffId; readonly tarSizeBytes: number }> {
    const hash = new Bun.CryptoHasher("sha256");
    const breathe = breather();
    let tarSizeBytes = 0;
    for (const chunk of assemble(this.#snapshotter.layerPaths(chain).dir, this.#recipe(chain), new Chunker(true))) {
      hash.update(chunk);
      tarSizeBytes += chunk.length;
      await breathe();
    }
    return { diffId: `sha256:${hash.digest("hex")}` as Digest as DiffId, tarSizeBytes };
  }

  /** Deletes a layer that has no row; what is mounted on it keeps its files. */
  async discard(chain: ChainId): Promise<void> {
    await this.#mutex.run(chain, () => {
      if (!this.get(chain)) this.#snapshotter.quarantineLayer(chain);
    });
  }

  /** Rows whose layer is not on disk. */
  missing(): Defect[] {
    const onDisk = new Set(this.#snapshotter.layers());
    const lost = this.list().filter((row) => !onDisk.has(row.chainId));
    return lost.map(({ chainId: chain }) => ({
      what: `layer ${chain}: its directory is gone`,
      mend: () => this.quarantine(chain, "its directory is gone"),
    }));
  }

  /** Whether the layer has the recipe of its tar, without which no image with it can be saved. */
  hasRecipe(chain: ChainId): boolean {
    return existsSync(join(this.#snapshotter.layerPaths(chain).dir, "recipe"));
  }

  /** Reads the whole layer. Returns what is wrong with its files; undefined when they are what was unpacked, or it is gone by now. */
  async damageOf(chain: ChainId): Promise<string | undefined> {
    const expected = this.get(chain)?.diffId;
    if (expected === undefined) return undefined;
    try {
      const { diffId } = await this.#measure(chain);
      if (diffId === expected || !this.get(chain)) return undefined;
      return `its files make ${diffId}, expected ${expected}`;
    } catch (error) {
      return this.get(chain) === undefined ? undefined : errorMessage(error);
    }
  }

  /** Forgets a damaged layer with those on top of it; what is mounted on them goes on. The same layers can be unpacked again at once. */
  async quarantine(chain: ChainId, reason: string): Promise<void> {
    await this.#mutex.run(chain, () => this.#drop(chain, reason, (each) => this.#snapshotter.quarantineLayer(each)));
  }

  /** Waits for what goes on in the background. */
  drain(): Promise<void> {
    return this.#sync.drain();
  }

  #drop(chain: ChainId, reason: string, take: (chain: ChainId) => void): void {
    for (const child of this.#table.children(chain)) this.#drop(child, "its parent is damaged", take);
    this.#log.error("layer is damaged, dropped", { layer: chain, reason });
    this.#table.delete(chain);
    take(chain);
  }

  async #apply(tar: AsyncIterable<Uint8Array>, options: ApplyOptions): Promise<Layer> {
    try {
      return await this.#unpack(tar, options);
    } catch (error) {
      if (options.signal.aborted) throw error;
      throw new DhowError(errorKind(error), `apply layer ${JSON.stringify(options.name)}: ${errorMessage(error)}`, { cause: error });
    }
  }

  async #unpack(tar: AsyncIterable<Uint8Array>, options: ApplyOptions): Promise<Layer> {
    const { parent, signal } = options;
    if (parent !== null && !this.get(parent)) throw noSuchLayer(parent);
    const draft = await this.#snapshotter.draft(parent);
    try {
      const { diffId, tarSizeBytes, sizeBytes } = await fill(draft, tar, options);
      if (options.diffId !== undefined && options.diffId !== diffId)
        throw new DhowError("invalid", `filesystem layer verification failed for digest ${options.diffId}: found ${diffId}`);
      signal.throwIfAborted();
      const layer = { chainId: chainId(parent, diffId), diffId, parent, sizeBytes, tarSizeBytes };
      if (options.diffId !== undefined) return this.#commit(draft, layer);
      return await this.#mutex.run(layer.chainId, () => this.get(layer.chainId) ?? this.#commit(draft, layer));
    } finally {
      draft.discard();
    }
  }

  /** The directory first: a directory without a row is swept, a row without a directory would be a lie. */
  #commit(draft: LayerDraft, layer: Layer): Layer {
    draft.commit(layer.chainId);
    try {
      this.#table.insert(layer, this.#bootId);
    } catch (error) {
      this.#snapshotter.removeLayer(layer.chainId);
      throw error;
    }
    this.#sync.soon();
    return layer;
  }
}

/** Unpacks a tar into a draft. */
async function fill(draft: LayerDraft, tar: AsyncIterable<Uint8Array>, options: ApplyOptions) {
  const hash = new Bun.CryptoHasher("sha256");
  const breathe = breather();
  let tarSizeBytes = 0;
  const counted = async function* (): AsyncGenerator<Uint8Array, void, void> {
    let bytes = 0;
    for await (const chunk of tar) {
      options.signal.throwIfAborted();
      bytes += chunk.length;
      options.onProgress?.(bytes);
      yield chunk;
    }
  };
  const hashed = async function* (): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of options.isPlain ? counted() : decompress(counted())) {
      hash.update(chunk);
      tarSizeBytes += chunk.length;
      yield chunk;
      await breathe();
    }
  };
  using recipe = new RecipeWriter(draft.dir);
  using tree = new Tree({
    root: draft.root,
    whiteouts: draft.whiteouts,
    stash: join(draft.dir, "stash"),
    lower: () => draft.lower(),
    onMoved: (path, number) => recipe.moved(path, number),
  });
  const sizeBytes = await unpack(hashed(), tree, recipe, { signal: options.signal, breathe });
  return { diffId: `sha256:${hash.digest("hex")}` as Digest as DiffId, tarSizeBytes, sizeBytes };
}

/** Carries out a recipe: chunks of the tar. A file that is shorter than the recipe says ends the tar early. */
function* assemble(dir: string, recipe: Iterable<Instruction>, chunks: Chunker): Generator<Uint8Array, void, void> {
  using root = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  for (const step of recipe) {
    if (step.kind === "raw") {
      yield* chunks.add(step.bytes);
      continue;
    }
    using file = openat2(root.fd, encodeName(step.path), {
      flags: O_RDONLY | O_NOFOLLOW,
      resolve: RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    });
    yield* chunks.fill(step.length, (into, done) => pread(file.fd, into, step.offset + done));
  }
  yield* chunks.flush();
}
