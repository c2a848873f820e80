import { type ChainId, DhowError, type Digest, digestHex, digestOf, parseTime, type TarInput, writeTar } from "../../lib/mod.ts";
import type { Layer, LayerStore } from "../../snapshots/mod.ts";
import { MEDIA_TYPES, type OciDescriptor, type OciIndex, type OciManifest } from "../../spec/oci/mod.ts";
import { familiarName, familiarString, type Reference, referenceString } from "../../spec/reference.ts";
import type { Image } from "../image.ts";
import type { ImageStore } from "../store.ts";
import { platformOf } from "./plan.ts";

/** An image to save and the names that the archive gives it. */
export interface SavedImage {
  readonly image: Image;
  readonly names: readonly Reference[];
}

interface Described extends SavedImage {
  readonly config: Uint8Array;
  readonly layers: readonly Layer[];
  readonly manifest: Uint8Array;
  readonly descriptor: OciDescriptor;
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function layerDescriptor(layer: Layer): OciDescriptor {
  return { mediaType: MEDIA_TYPES.layer, digest: layer.diffId, size: layer.tarSizeBytes };
}

function describe(saved: SavedImage, store: ImageStore, layerStore: LayerStore): Described {
  const config = store.configBytes(saved.image.id);
  const layers = saved.image.layers.map((chain: ChainId): Layer => {
    const layer = layerStore.get(chain);
    if (!layer) throw new DhowError("internal", `save ${saved.image.id}: its layer ${chain} is not in the store`);
    return layer;
  });
  const document: OciManifest = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.manifest,
    config: { mediaType: MEDIA_TYPES.config, digest: saved.image.id, size: config.length },
    layers: layers.map(layerDescriptor),
  };
  const manifest = json(document);
  const descriptor = {
    mediaType: MEDIA_TYPES.manifest,
    digest: digestOf(manifest),
    size: manifest.length,
    platform: platformOf(saved.image.config),
  };
  return { ...saved, config, layers, manifest, descriptor };
}

/** The descriptor of the manifest that `saveArchive` writes for an image. */
export function manifestDescriptor(image: Image, store: ImageStore, layerStore: LayerStore): OciDescriptor {
  const { platform: _, ...descriptor } = describe({ image, names: [] }, store, layerStore).descriptor;
  return descriptor;
}

function indexOf(images: readonly Described[]): OciIndex {
  const manifests = images.flatMap(({ names, descriptor }): OciDescriptor[] => {
    if (names.length === 0) return [descriptor];
    return names.map((name) => ({
      ...descriptor,
      annotations: { "io.containerd.image.name": referenceString(name), "org.opencontainers.image.ref.name": name.tag ?? "" },
    }));
  });
  return { schemaVersion: 2, mediaType: MEDIA_TYPES.index, manifests };
}

function blobPath(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`;
}

function dockerManifest(images: readonly Described[]): unknown {
  const ids = new Set(images.map(({ image }) => image.id));
  return images.map(({ image, names, layers }) => ({
    Config: blobPath(image.id),
    RepoTags: names.length === 0 ? null : names.map(familiarString),
    Layers: layers.map((layer) => blobPath(layer.diffId)),
    ...(image.parent !== null && ids.has(image.parent) ? { Parent: image.parent } : {}),
    LayerSources: Object.fromEntries(layers.map((layer) => [layer.diffId, layerDescriptor(layer)])),
  }));
}

function repositories(images: readonly Described[]): Record<string, Record<string, string>> {
  const found: Record<string, Record<string, string>> = {};
  for (const { names, layers } of images) {
    const top = layers.at(-1);
    if (!top) continue;
    for (const name of names) found[familiarName(name)] = { ...found[familiarName(name)], [name.tag ?? ""]: digestHex(top.diffId) };
  }
  return found;
}

function* entries(images: readonly Described[], layerStore: LayerStore): Generator<TarInput> {
  const written = new Set<string>();
  const file = (name: string, payload: Uint8Array, mtimeNs = 0n): TarInput => ({
    entry: { type: "file", name, mode: 0o644, size: payload.length, mtimeNs },
    payload,
  });
  for (const name of ["blobs", "blobs/sha256"]) yield { entry: { type: "directory", name, mode: 0o755 } };
  // What describes the layers comes first, so that a reader can unpack each layer while it goes by.
  yield file("oci-layout", json({ imageLayoutVersion: "1.0.0" }));
  yield file("index.json", json(indexOf(images)));
  yield file("manifest.json", json(dockerManifest(images)));
  const legacy = repositories(images);
  if (Object.keys(legacy).length > 0) yield file("repositories", json(legacy));
  for (const { image, config, manifest, descriptor } of images) {
    yield file(blobPath(image.id), config, secondsOf(image));
    yield file(blobPath(descriptor.digest), manifest);
  }
  for (const { image, layers } of images) {
    for (const layer of layers) {
      const name = blobPath(layer.diffId);
      if (written.has(name)) continue;
      written.add(name);
      yield {
        entry: { type: "file", name, mode: 0o644, size: layer.tarSizeBytes, mtimeNs: secondsOf(image) },
        payload: layerStore.tar(layer.chainId, { lent: true }),
      };
    }
  }
}

/** An image's time of creation in whole seconds: fractions would need PAX headers. */
function secondsOf(image: Image): bigint {
  const ns = (image.createdAt === null ? null : parseTime(image.createdAt)) ?? 0n;
  return ns <= 0n ? 0n : ns - (ns % 1_000_000_000n);
}

/**
 * Each chunk is good until the next one is asked for.
 * A docker archive that is an OCI layout too, as docker writes it since version 25, with each layer once; the same images give the same bytes.
 * ```
 * blobs/sha256/<digest>   configs, manifests, then layers (uncompressed, base first)
 * oci-layout  index.json  OCI's way in
 * manifest.json  repositories   docker's
 * ```
 */
export function saveArchive(images: readonly SavedImage[], store: ImageStore, layerStore: LayerStore): AsyncIterable<Uint8Array> {
  const described = images.map((saved) => describe(saved, store, layerStore));
  return writeTar(entries(described, layerStore));
}
