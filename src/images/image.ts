import { type ChainId, DhowError, type Digest, parseTime } from "../lib/mod.ts";
import type { OciImageConfig } from "../spec/oci/mod.ts";
import { familiarString, parseAnyReference, withDefaultTag } from "../spec/reference.ts";

/** An image in the store: an immutable config with its layers, and the names that point to it at the moment of the look-up. */
export interface Image {
  /** The digest of the config. */
  readonly id: Digest;
  readonly config: OciImageConfig;
  /** As users write them: `busybox:latest`. */
  readonly names: readonly string[];
  /** As users write them: `busybox@sha256:…`, of manifests. */
  readonly digests: readonly string[];
  /** Base first. */
  readonly layers: readonly ChainId[];
  readonly topLayer: ChainId | null;
  /** Sum of the files in all layers. */
  readonly sizeBytes: number;
  /** RFC 3339 as in the config; null when it says nothing. */
  readonly createdAt: string | null;
  readonly parent: Digest | null;
  /** RFC 3339; null when it was never tagged here. */
  readonly lastTaggedAt: string | null;
}

/** When the image was made, in nanoseconds since the epoch; 0n when its config says nothing. */
export function createdNs(image: { readonly createdAt: string | null }): bigint {
  return (image.createdAt === null ? null : parseTime(image.createdAt)) ?? 0n;
}

/** Docker's error for what `ref` does not name. */
export function noSuchImage(ref: string): DhowError {
  const any = parseAnyReference(ref);
  return new DhowError("notFound", `No such image: ${any.kind === "id" ? any.id : familiarString(withDefaultTag(any.reference))}`);
}
