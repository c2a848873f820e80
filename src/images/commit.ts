import { type ChainId, type DiffId, formatTime, nowNs } from "../lib/mod.ts";
import type { LayerStore } from "../snapshots/mod.ts";
import type { ContainerConfig } from "../spec/engine/mod.ts";
import { hostPlatform, type OciHistory, type OciImageConfig, type OciImageRunConfig } from "../spec/oci/mod.ts";
import type { Image } from "./image.ts";
import type { ImageStore } from "./store.ts";

export interface CommitImageOptions {
  readonly store: ImageStore;
  readonly layers: LayerStore;
  readonly signal: AbortSignal;
  /** The image that the container was made from; undefined when it is gone. */
  readonly parent: Image | undefined;
  /** The layer that the container stands on; the caller keeps it. */
  readonly topLayer: ChainId | null;
  readonly containerId: string;
  readonly runConfig: ContainerConfig;
  /** What the image's history says made it. */
  readonly createdBy: string;
  readonly author: string;
  readonly comment: string;
  /** Called when all has been read: throws what must keep the image from being made. */
  readonly check: () => void;
}

/**
 * Makes an image: its parent's layers and one of `changes`, a plain tar; null adds none. What is in the store at the end is the whole
 * image or nothing of it.
 * @throws what LayerStore.apply throws
 */
export async function commitImage(changes: AsyncIterable<Uint8Array> | null, options: CommitImageOptions): Promise<Image> {
  const { store, layers, topLayer, signal } = options;
  const name = `changes of container ${options.containerId}`;
  const layer = changes === null ? undefined : await layers.apply(changes, { parent: topLayer, signal, name, isPlain: true });
  if (layer === undefined) return create(options, []);
  try {
    using _own = store.leases.hold([layer.chainId]);
    return create(options, [layer.diffId]);
  } catch (error) {
    await store.releaseLayers([layer.chainId]);
    throw error;
  }
}

/** Synchronous: from the check to the image's row nothing comes in between. */
function create(options: CommitImageOptions, added: readonly DiffId[]): Image {
  const { store, layers, parent, topLayer, containerId, author, comment } = options;
  options.check();
  const created = formatTime(nowNs());
  const below = parent?.config.rootfs.diff_ids ?? diffIdsOf(layers, topLayer);
  const base = parent?.config ?? { ...hostPlatform(), history: below.map((): OciHistory => ({ comment: "of an image that is gone" })) };
  const row: OciHistory = {
    created,
    ...(author === "" ? {} : { author }),
    ...(options.createdBy === "" ? {} : { created_by: options.createdBy }),
    ...(comment === "" ? {} : { comment }),
    ...(added.length === 0 ? { empty_layer: true } : {}),
  };
  const osVersion = parent?.config["os.version"];
  const config: OciImageConfig = {
    architecture: base.architecture,
    ...(base.variant === undefined ? {} : { variant: base.variant }),
    ...(author === "" ? {} : { author }),
    config: options.runConfig as OciImageRunConfig,
    container: containerId,
    created,
    history: [...(base.history ?? []), row],
    os: base.os,
    ...(osVersion === undefined ? {} : { "os.version": osVersion }),
    rootfs: { type: "layers", diff_ids: [...below, ...added] },
  };
  return store.create(Buffer.from(JSON.stringify(config)), { parent: parent?.id ?? null });
}

/** The diffIDs of a stack of layers, base first. */
function diffIdsOf(layers: LayerStore, top: ChainId | null): DiffId[] {
  const found: DiffId[] = [];
  for (let layer = top === null ? undefined : layers.get(top); layer; layer = layer.parent === null ? undefined : layers.get(layer.parent))
    found.unshift(layer.diffId);
  return found;
}
