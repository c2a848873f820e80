import type { BlobStore } from "../content/mod.ts";
import { type ChainId, chainIds, type Digest, digestOf } from "../lib/mod.ts";
import { type OciImageConfig, parseImageConfig } from "../spec/oci/mod.ts";

/** As many parsed configs stay in memory. */
const PARSED_KEPT = 128;

/** An image's config, and the layers that it names, base first. */
export interface ParsedConfig {
  readonly config: OciImageConfig;
  readonly layers: readonly ChainId[];
}

/** Parses an image's config. @throws invalid */
export function parseConfig(bytes: Uint8Array): ParsedConfig {
  const config = parseImageConfig(bytes);
  return { config, layers: chainIds(config.rootfs.diff_ids) };
}

/** The configs of images: blobs, each under its image's id. Those last read stay in memory, parsed. */
export class ImageConfigs {
  readonly #blobs: BlobStore;
  readonly #parsed = new Map<Digest, ParsedConfig>();

  constructor(blobs: BlobStore) {
    this.#blobs = blobs;
  }

  /** @throws notFound, internal for a damaged blob, invalid */
  get(id: Digest): ParsedConfig {
    const known = this.#parsed.get(id);
    if (known) return known;
    const parsed = this.read(id);
    if (this.#parsed.size >= PARSED_KEPT) {
      const oldest = this.#parsed.keys().next();
      if (!oldest.done) this.#parsed.delete(oldest.value);
    }
    this.#parsed.set(id, parsed);
    return parsed;
  }

  /** As it is on the disk at the moment. @throws as `get` */
  read(id: Digest): ParsedConfig {
    return parseConfig(this.bytes(id));
  }

  /** @throws notFound, internal for a damaged blob */
  bytes(id: Digest): Uint8Array {
    return this.#blobs.read(id);
  }

  /** Stores a config, also in the place of a damaged one. */
  put(bytes: Uint8Array): void {
    const id = digestOf(bytes);
    try {
      this.#blobs.read(id);
    } catch {
      this.#blobs.remove(id);
      this.#blobs.put(bytes);
    }
  }

  remove(id: Digest): void {
    this.#parsed.delete(id);
    this.#blobs.remove(id);
  }

  /** The ids of all configs on the disk. */
  ids(): Digest[] {
    return this.#blobs.list().map(({ digest }) => digest);
  }
}
