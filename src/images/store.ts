import type { BlobStore } from "../content/mod.ts";
import { type ChainId, DhowError, type Digest, digestOf, errorMessage, formatTime, type Logger, nowNs } from "../lib/mod.ts";
import { type Database, type ImageRow, ImagesTable } from "../metadata/mod.ts";
import type { LayerPlace, LayerStore } from "../snapshots/mod.ts";
import {
  familiarString,
  parseAnyReference,
  parseReference,
  type Reference,
  referenceString,
  repositoryName,
  withDefaultTag,
} from "../spec/reference.ts";
import { type Image, noSuchImage } from "./image.ts";
import { ImageConfigs, parseConfig } from "./image-configs.ts";
import { ImageUses } from "./image-uses.ts";
import { Leases } from "./leases.ts";
import { UsedLayers } from "./used-layers.ts";

export interface ImageStoreOptions {
  readonly db: Database;
  readonly blobs: BlobStore;
  readonly layers: LayerStore;
  /** The top layers that containers stand on, also those without a snapshot yet: they stay when their image goes. */
  readonly layersInUse: () => Iterable<ChainId>;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** An image that can't be used any more. */
export interface DamagedImage {
  readonly id: Digest;
  /** As users write them. */
  readonly names: readonly string[];
  readonly reason: string;
}

const HEX_PREFIX = /^(?:sha256:)?([0-9a-f]{1,64})$/;

/** The key under which a reference is kept: by its digest alone when it has one, else by its tag. */
function nameKey(reference: Reference): string {
  return referenceString(reference.digest === null ? withDefaultTag(reference) : { ...reference, tag: null });
}

/**
 * Images and their names. Configs are blobs, rows are SQLite's, layers are the LayerStore's; everything but the removal of layers is synchronous.
 * An image is there as a whole or not at all: its row is written last and deleted first.
 */
export class ImageStore {
  readonly #table: ImagesTable;
  readonly #configs: ImageConfigs;
  readonly #layers: LayerStore;
  readonly #used: UsedLayers;
  readonly #log: Logger;
  readonly #now: () => number;
  /** Images that the log has told about. */
  readonly #unreadable = new Set<Digest>();
  /** Layers that work in flight counts on. */
  readonly leases = new Leases<ChainId>();
  /** When images were last used. */
  readonly uses: ImageUses;

  constructor(options: ImageStoreOptions) {
    this.#table = new ImagesTable(options.db);
    this.#configs = new ImageConfigs(options.blobs);
    this.#layers = options.layers;
    this.#used = new UsedLayers({
      layers: options.layers,
      isHeld: (id) => this.leases.has(id) || this.#table.layerUseCount(id) > 0,
      tops: options.layersInUse,
    });
    this.#log = options.log;
    this.#now = options.now ?? Date.now;
    this.uses = new ImageUses({ table: this.#table, log: options.log, now: this.#now });
  }

  #view(row: ImageRow): Image {
    const { config, layers } = this.#configs.get(row.id);
    const references = this.references(row.id);
    return {
      id: row.id,
      config,
      names: references.filter((r) => r.digest === null).map(familiarString),
      digests: references.filter((r) => r.digest !== null).map(familiarString),
      layers,
      topLayer: layers.at(-1) ?? null,
      sizeBytes: row.sizeBytes,
      createdAt: typeof config.created === "string" ? config.created : null,
      parent: row.parent,
      lastTaggedAt: row.lastTaggedAt,
    };
  }

  /** The image with this id, or undefined. */
  tryGet(id: Digest): Image | undefined {
    const row = this.#table.get(id);
    return row === null ? undefined : this.#view(row);
  }

  /** The image with this id. @throws notFound */
  get(id: Digest): Image {
    const image = this.tryGet(id);
    if (!image) throw noSuchImage(id);
    return image;
  }

  /** Finds the image's id as docker does: full id, then name (with `latest`), then unique prefix of an id. @throws invalid */
  resolveId(ref: string): Digest | undefined {
    const any = parseAnyReference(ref);
    if (any.kind === "id") return this.#table.get(any.id)?.id;
    const named = this.imageOf(any.reference);
    if (named !== null) return named;
    const hex = HEX_PREFIX.exec(ref)?.[1];
    if (hex === undefined) return undefined;
    const [only, ...others] = this.#table.withPrefix(hex);
    return others.length === 0 ? only : undefined;
  }

  /** The image that `ref` means, or undefined. @throws invalid when it is no reference at all */
  tryResolve(ref: string): Image | undefined {
    const id = this.resolveId(ref);
    return id === undefined ? undefined : this.tryGet(id);
  }

  /** The image that `ref` means. @throws notFound "No such image: x:latest"; invalid when it is no reference at all */
  resolve(ref: string): Image {
    const image = this.tryResolve(ref);
    if (!image) throw noSuchImage(ref);
    return image;
  }

  /** All images that can be used, in the order of their ids: one that is damaged is left out, as docker does, and told in the log once. */
  list(): Image[] {
    return this.#table.all().flatMap((row) => this.#tryView(row) ?? []);
  }

  #tryView(row: ImageRow): Image | undefined {
    try {
      const image = this.#view(row);
      this.#unreadable.delete(row.id);
      return image;
    } catch (error) {
      if (!this.#unreadable.has(row.id)) this.#log.error("image is damaged", { image: row.id, error: errorMessage(error) });
      this.#unreadable.add(row.id);
      return undefined;
    }
  }

  /** The bytes of an image's config. @throws notFound */
  configBytes(id: Digest): Uint8Array {
    if (this.#table.get(id) === null) throw noSuchImage(id);
    return this.#configs.bytes(id);
  }

  /**
   * Adds an image whose layers are in the LayerStore; one that is there already stays as it is, and has its config again if that was lost.
   * @throws invalid when `config` is no image config or a layer is missing
   */
  create(config: Uint8Array, options: { readonly parent?: Digest | null } = {}): Image {
    const id = digestOf(config);
    if (this.#table.get(id) !== null) {
      this.#configs.put(config);
      return this.get(id);
    }
    const { layers } = parseConfig(config);
    let sizeBytes = 0;
    for (const chain of layers) {
      const layer = this.#layers.get(chain);
      if (!layer) throw new DhowError("invalid", `add image ${id}: its layer ${chain} is not in the store`);
      sizeBytes += layer.sizeBytes;
    }
    this.#configs.put(config);
    this.#table.insert({ id, parent: options.parent ?? null, sizeBytes, layers, addedMs: this.#now() });
    return this.get(id);
  }

  /** Which image a reference points to: by its digest when it has one, else by its tag (`latest`). */
  imageOf(reference: Reference): Digest | null {
    return this.#table.imageOfName(nameKey(reference));
  }

  /** An image's names, sorted. */
  references(id: Digest): Reference[] {
    return this.#table.namesOf(id).map(parseReference);
  }

  /** The names in one repository with their images. */
  repository(reference: Reference): { readonly reference: Reference; readonly imageId: Digest }[] {
    return this.#table
      .namesOfRepository(repositoryName(reference))
      .map((row) => ({ reference: parseReference(row.name), imageId: row.imageId }));
  }

  /** Points a name at an image; a tag that pointed to another moves. Returns the image that it pointed to before. @throws notFound */
  tag(reference: Reference, id: Digest): Digest | null {
    if (this.#table.get(id) === null) throw noSuchImage(id);
    const key = nameKey(reference);
    const before = this.#table.imageOfName(key);
    this.#table.setName(key, id, formatTime(nowNs()));
    this.uses.note(id);
    return before;
  }

  /** Keeps an image's layers until the lease is disposed of. */
  hold({ layers }: Pick<Image, "layers">): Disposable {
    return this.leases.hold(layers);
  }

  /** Takes a name away; the image stays. */
  untag(reference: Reference): void {
    this.#table.deleteName(nameKey(reference));
  }

  /** The images that were made on top of `id`. */
  children(id: Digest): Digest[] {
    return this.#table.children(id);
  }

  setParent(id: Digest, parent: Digest): void {
    this.#table.setParent(id, parent);
  }

  /** Deletes an image with its names and config, then its layers that nothing else uses. Returns those, top first. @throws notFound */
  async delete(id: Digest): Promise<ChainId[]> {
    const { layers } = this.get(id);
    this.#forget(id);
    return this.releaseLayers(layers);
  }

  /** Removes the layers of a chain (base first), from its top down to the first that something else uses. Returns those removed. */
  releaseLayers(chain: readonly ChainId[]): Promise<ChainId[]> {
    return this.#used.release(chain);
  }

  /** Removes every layer that nothing uses, for example after a container that outlived its image is removed. Returns those removed. */
  collectLayers(): Promise<ChainId[]> {
    return this.#used.collect();
  }

  /**
   * At the daemon's start, after `LayerStore.recover`: forgets images whose config or layers did not survive (a power cut, a damaged disk),
   * with their names; then removes the configs and layers that no image uses.
   */
  async recover(): Promise<void> {
    for (const { id } of this.damaged()) this.drop(id);
    for (const id of this.strayBlobs()) this.#configs.remove(id);
    await this.collectLayers();
  }

  /** The images whose config or layers are not what they were, with what is wrong. */
  damaged(): DamagedImage[] {
    const known = new Set(this.#layers.list().map((layer) => layer.chainId));
    return this.#table.all().flatMap(({ id }) => {
      const reason = this.#damageOf(id, known);
      return reason === undefined ? [] : [{ id, names: this.references(id).map(familiarString), reason }];
    });
  }

  #damageOf(id: Digest, known: ReadonlySet<ChainId>): string | undefined {
    try {
      // from the disk, not from memory
      const lost = this.#configs.read(id).layers.find((layer) => !known.has(layer));
      return lost === undefined ? undefined : `its layer ${lost} is not there`;
    } catch (error) {
      return `its config can't be read: ${errorMessage(error)}`;
    }
  }

  /** Where a layer belongs in an image that has it; undefined when none has. */
  placeOf(chain: ChainId): LayerPlace | undefined {
    for (const { id } of this.#table.all()) {
      try {
        const { config, layers } = this.#configs.get(id);
        const at = layers.indexOf(chain);
        const diffId = config.rootfs.diff_ids[at];
        if (diffId !== undefined) return { diffId, parent: layers[at - 1] ?? null };
      } catch {
        // damaged itself
      }
    }
    return undefined;
  }

  /** Forgets a damaged image, with its names and its config. Its layers stay until `collectLayers`. */
  drop(id: Digest): void {
    this.#log.error("image is damaged, dropped", { image: id, names: this.#table.namesOf(id).join(" ") });
    this.#forget(id);
  }

  #forget(id: Digest): void {
    this.#table.delete(id);
    this.uses.forget(id);
    this.#unreadable.delete(id);
    this.#configs.remove(id);
  }

  /** The configs of no image. */
  strayBlobs(): Digest[] {
    return this.#configs.ids().filter((id) => this.#table.get(id) === null);
  }

  removeStrayBlob(digest: Digest): void {
    if (this.#table.get(digest) === null) this.#configs.remove(digest);
  }

  /** The layers that nothing uses and nothing stands on. */
  unusedLayers(): ChainId[] {
    return this.#used.unused();
  }

  /** Takes away names and layers of images that are not there: rows that only a damaged database has. */
  deleteOrphanedRows(): void {
    this.#table.deleteOrphans();
  }
}
