import { type ChainId, chainIds, DhowError, type DiffId, type Digest, readTar, shortId, type TarEntry } from "../../lib/mod.ts";
import type { LayerStore } from "../../snapshots/mod.ts";
import type { OciPlatform } from "../../spec/oci/mod.ts";
import { formatPlatform } from "../../spec/oci/mod.ts";
import { familiarString, type Reference } from "../../spec/reference.ts";
import type { Image } from "../image.ts";
import { type Report, withByteProgress } from "../progress.ts";
import type { ImageStore } from "../store.ts";
import { unpackStream } from "./decompress.ts";
import { HeldFiles, openHeld } from "./held.ts";
import { type LegacyPlan, legacyConfig, legacyLayerId, planLegacy, readLegacyImage } from "./legacy.ts";
import { cleanArchivePath, type ImagePlan, planImages } from "./plan.ts";

export interface LoadOptions {
  readonly store: ImageStore;
  readonly layers: LayerStore;
  /** A directory for what cannot be unpacked while the archive goes by. */
  readonly temporary: string;
  readonly platforms: readonly OciPlatform[];
  /** Layers' progress; a quiet load drops it. */
  readonly reportLayer: Report;
  readonly report: Report;
  readonly signal: AbortSignal;
  readonly onLoaded: (image: Image) => void;
}

/** A layer as one image needs it. */
interface WantedLayer {
  readonly path: string;
  readonly parent: ChainId | null;
  readonly diffId: DiffId | undefined;
}

/**
 * Loads the images of one archive: reads it once, front to back. A layer is unpacked while it goes by when the files before it tell what it
 * stands on (an archive of ours, or one of docker's before version 25); else it waits in a temporary file for the manifest.
 */
class Loader {
  readonly #options: LoadOptions;
  readonly #held: HeldFiles;
  readonly #leases: DisposableStack;
  /** Layers of the format before manifests, by the name of their directory. */
  readonly #legacyChains = new Map<string, ChainId>();
  /** Bottom first. */
  readonly #applied: ChainId[] = [];

  constructor(options: LoadOptions, held: HeldFiles, leases: DisposableStack) {
    this.#options = options;
    this.#held = held;
    this.#leases = leases;
  }

  async run(archive: AsyncIterable<Uint8Array>): Promise<void> {
    let isEmpty = true;
    for await (const entry of readTar(unpackStream(archive))) {
      this.#options.signal.throwIfAborted();
      isEmpty = false;
      await this.#take(entry);
    }
    if (isEmpty) throw new DhowError("invalid", "invalid archive: it is empty or not a tar archive");
    const plans = planImages(this.#held, this.#options.platforms);
    if (plans) await this.#loadAll(plans);
    else await this.#loadLegacy();
  }

  async #take({ header, payload }: TarEntry): Promise<void> {
    const path = cleanArchivePath(header.name);
    if (header.type === "link") this.#held.set(path, { kind: "link", target: cleanArchivePath(header.linkName) });
    else if (header.type === "symlink") {
      const base = header.linkName.startsWith("/") ? "" : path.slice(0, path.lastIndexOf("/") + 1);
      this.#held.set(path, { kind: "link", target: cleanArchivePath(base + header.linkName) });
    }
    if (header.type !== "file") return;
    if (this.#held.isSmall(header.payloadBytes)) return this.#held.keep(path, payload);
    const wanted = this.#whatFor(path);
    if (!wanted) return this.#held.spool(path, payload);
    const known = this.#knownChain(wanted);
    // Not read: the reader skips what is left of an entry.
    const chainId = known ?? (await this.#apply(wanted, payload, header.payloadBytes));
    this.#held.set(path, { kind: "layer", chainId, sizeBytes: header.payloadBytes });
  }

  /** What a layer that goes by is for, when the files before it tell and its parent is there. */
  #whatFor(path: string): WantedLayer | undefined {
    const legacyId = legacyLayerId(path);
    if (legacyId !== undefined) {
      const legacy = readLegacyImage(this.#held, legacyId);
      if (!legacy) return undefined;
      const parent = legacy.parent === undefined ? null : this.#legacyChains.get(legacy.parent);
      return parent === undefined ? undefined : { path, parent, diffId: undefined };
    }
    for (const plan of this.#plansSoFar()) {
      const chain = chainIds(plan.parsed.rootfs.diff_ids);
      const at = plan.layerPaths.indexOf(path);
      const parent = at <= 0 ? null : (chain[at - 1] ?? null);
      if (at < 0 || (parent !== null && !this.#options.layers.get(parent))) continue;
      return { path, parent, diffId: plan.parsed.rootfs.diff_ids[at] };
    }
    return undefined;
  }

  #plansSoFar(): ImagePlan[] {
    try {
      return planImages(this.#held, this.#options.platforms) ?? [];
    } catch {
      // It is not whole yet; what is wrong with it is told at the end.
      return [];
    }
  }

  #knownChain({ parent, diffId }: WantedLayer): ChainId | undefined {
    if (diffId === undefined) return undefined;
    const chain = chainIds([diffId]).at(0);
    const id = parent === null ? chain : chainIds([parent as unknown as DiffId, diffId]).at(1);
    if (id === undefined) return undefined;
    this.#leases.use(this.#options.store.leases.hold([id]));
    return this.#options.layers.get(id) ? id : undefined;
  }

  async #apply(wanted: WantedLayer, source: AsyncIterable<Uint8Array>, sizeBytes: number): Promise<ChainId> {
    const { layers, store, signal, reportLayer } = this.#options;
    const { path, parent, diffId } = wanted;
    if (parent !== null) this.#leases.use(store.leases.hold([parent]));
    const legacyId = legacyLayerId(path);
    const id = shortId(diffId ?? legacyId ?? path.split("/").at(-1) ?? path);
    const tar = withByteProgress(source, { report: reportLayer, id, status: "Loading layer", totalBytes: sizeBytes });
    const layer = await layers.apply(tar, { parent, ...(diffId === undefined ? {} : { diffId }), signal, name: diffId ?? path });
    this.#leases.use(store.leases.hold([layer.chainId]));
    if (legacyId !== undefined) this.#legacyChains.set(legacyId, layer.chainId);
    this.#applied.push(layer.chainId);
    return layer.chainId;
  }

  /** Makes sure that a layer is in the store, from what the archive held. */
  async #need(wanted: WantedLayer): Promise<ChainId> {
    const known = this.#knownChain(wanted);
    if (known !== undefined) return known;
    const found = this.#held.find(wanted.path);
    if (!found) throw new DhowError("invalid", `invalid archive: the layer ${JSON.stringify(wanted.path)} is missing`);
    const { file } = found;
    if (file.kind !== "layer") {
      const sizeBytes = file.kind === "memory" ? file.data.length : file.sizeBytes;
      return this.#apply(wanted, openHeld(file), sizeBytes);
    }
    const layer = this.#options.layers.get(file.chainId);
    if (layer && layer.parent === wanted.parent && (wanted.diffId === undefined || layer.diffId === wanted.diffId)) return layer.chainId;
    if (layer && wanted.diffId !== undefined && layer.diffId !== wanted.diffId) {
      throw new DhowError(
        "invalid",
        `filesystem layer verification failed for digest ${wanted.diffId}: ${wanted.path} has ${layer.diffId}`,
      );
    }
    return this.#apply(wanted, this.#options.layers.tar(file.chainId), file.sizeBytes);
  }

  async #loadAll(plans: readonly ImagePlan[]): Promise<void> {
    if (plans.length === 0 && this.#options.platforms.length > 0) {
      const wanted = this.#options.platforms.map(formatPlatform).join(", ");
      throw new DhowError("notFound", `no image of the archive is for the requested platform (${wanted})`);
    }
    const loaded: Digest[] = [];
    for (const plan of plans) {
      let parent: ChainId | null = null;
      for (const [i, path] of plan.layerPaths.entries())
        parent = await this.#need({ path, parent, diffId: plan.parsed.rootfs.diff_ids[i] });
      const image = this.#finish(plan.config, plan.names);
      loaded.push(image.id);
    }
    plans.forEach((plan, i) => {
      const id = loaded[i];
      const parent = plan.parent as Digest | undefined;
      if (id !== undefined && parent !== undefined && parent !== id && loaded.includes(parent)) this.#options.store.setParent(id, parent);
    });
  }

  async #loadLegacy(): Promise<void> {
    const plans: LegacyPlan[] | undefined = planLegacy(this.#held);
    if (!plans) throw new DhowError("invalid", "invalid archive: it has no manifest.json, no index.json and no repositories");
    for (const { chain, names } of plans) {
      let parent: ChainId | null = null;
      const diffIds: DiffId[] = [];
      for (const { id } of chain) {
        parent = await this.#need({ path: `${id}/layer.tar`, parent, diffId: undefined });
        const layer = this.#options.layers.get(parent);
        if (layer) diffIds.push(layer.diffId);
      }
      this.#finish(Buffer.from(JSON.stringify(legacyConfig(chain, diffIds))), names);
    }
  }

  #finish(config: Uint8Array, names: readonly Reference[]): Image {
    const { store, report, onLoaded } = this.#options;
    const image = store.create(config);
    for (const name of names) {
      const before = store.tag(name, image.id);
      if (before !== null && before !== image.id) {
        report({ stream: `The image ${familiarString(name)} already exists, renaming the old one with ID ${before} to empty string\n` });
      }
      report({ stream: `Loaded image: ${familiarString(name)}\n` });
    }
    if (names.length === 0) report({ stream: `Loaded image ID: ${image.id}\n` });
    onLoaded(image);
    return image;
  }

  /** The layers that this load brought, top first. */
  get applied(): readonly ChainId[] {
    return this.#applied.toReversed();
  }
}

/**
 * Loads a docker archive (also of the format before `manifest.json`) or an OCI layout, uncompressed or packed with gzip, zstd, xz, bzip2.
 * Images that were finished before a failure stay; layers that no image uses go again.
 * @throws invalid for a bad archive; what LayerStore.apply throws for a bad layer
 */
export async function loadArchive(archive: AsyncIterable<Uint8Array>, options: LoadOptions): Promise<void> {
  await using held = new HeldFiles(options.temporary);
  const leases = new DisposableStack();
  const loader = new Loader(options, held, leases);
  try {
    await loader.run(archive);
  } finally {
    leases.dispose();
    for (const chain of loader.applied) await options.store.releaseLayers([chain]);
  }
}
