import { type DiffId, formatTime, nowNs } from "../lib/mod.ts";
import type { LayerStore } from "../snapshots/mod.ts";
import type { OciImageConfig, OciImageRunConfig, OciPlatform } from "../spec/oci/mod.ts";
import { unpackStream } from "./archive/decompress.ts";
import type { Image } from "./image.ts";
import type { ImageStore } from "./store.ts";

export interface ImportOptions {
  readonly store: ImageStore;
  readonly layers: LayerStore;
  readonly signal: AbortSignal;
  readonly platform: OciPlatform;
  readonly runConfig: OciImageRunConfig;
  /** RFC 3339; now when left out. */
  readonly createdAt?: string;
  readonly message: string;
  /** What the image's history says made it. */
  readonly createdBy?: string;
  /** Names the layer in errors. */
  readonly name: string;
}

/** Makes an image of one layer from the tar of a root file system, packed or not. @throws what LayerStore.apply throws */
export async function importRootfs(rootfs: AsyncIterable<Uint8Array>, options: ImportOptions): Promise<Image> {
  const { store, layers, platform, message, createdBy } = options;
  const layer = await layers.apply(unpackStream(rootfs), { parent: null, signal: options.signal, name: options.name });
  const created = options.createdAt ?? formatTime(nowNs());
  const lease = store.leases.hold([layer.chainId]);
  const config: OciImageConfig = {
    architecture: platform.architecture,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    ...(message === "" ? {} : { comment: message }),
    config: options.runConfig,
    created,
    history: [{ created, ...(createdBy === undefined ? {} : { created_by: createdBy }), ...(message === "" ? {} : { comment: message }) }],
    os: platform.os,
    rootfs: { type: "layers", diff_ids: [layer.diffId satisfies DiffId] },
  };
  try {
    return store.create(Buffer.from(JSON.stringify(config)));
  } finally {
    lease[Symbol.dispose]();
    await store.releaseLayers([layer.chainId]);
  }
}
