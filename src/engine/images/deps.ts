import type { Image, ImageStore } from "../../images/mod.ts";
import type { Digest, Logger } from "../../lib/mod.ts";
import type { LayerStore } from "../../snapshots/mod.ts";
import { familiarString, type Reference } from "../../spec/reference.ts";
import type { Emit } from "../events.ts";

/** A container as far as its image is concerned. */
export interface ImageUser {
  readonly id: string;
  readonly name: string;
  readonly running: boolean;
}

/** What the image calls stand on. */
export interface ImageDeps {
  readonly store: ImageStore;
  readonly layers: LayerStore;
  /** The snapshotter's name: `overlay2`, `native`. */
  readonly driver: string;
  /** A directory for files in flight; swept at start. */
  readonly temporary: string;
  /** The containers that were made from an image. */
  readonly imageUsers: (id: Digest) => readonly ImageUser[];
  /** Told when an image was written, or why that failed. */
  readonly written: (error?: unknown) => void;
  readonly emit: Emit;
  readonly log: Logger;
}

/** Publishes an image's event with docker's attributes: the image's labels, and the name it concerns. */
export function emitImage(
  { emit }: Pick<ImageDeps, "emit">,
  action: string,
  image: Pick<Image, "id" | "config">,
  name: string = image.id,
): void {
  emit({ type: "image", action, id: image.id, attributes: { ...image.config.config?.Labels, name } });
}

/** Points a name at an image and tells of it. */
export function tagImage(deps: ImageDeps, name: Reference, id: Digest): void {
  deps.store.tag(name, id);
  emitImage(deps, "tag", deps.store.get(id), familiarString(name));
}
