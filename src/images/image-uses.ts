import type { Digest, Logger } from "../lib/mod.ts";
import type { ImagesTable } from "../metadata/mod.ts";
import { noSuchImage } from "./image.ts";

/** A use is noted again after this long: most starts of a container write nothing. */
const USE_NOTED_MS = 3_600_000;

/** When an image came and was last used (milliseconds since the epoch, to the hour), and whether it is to stay. */
export interface ImageUsage {
  readonly addedMs: number;
  readonly usedMs: number;
  readonly isPinned: boolean;
}

export interface ImageUsesOptions {
  readonly table: ImagesTable;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** When images were last used, and which are to stay: what collections and prunes go by. */
export class ImageUses {
  readonly #o: ImageUsesOptions;
  /** When the use of an image was last noted, as far as this process knows. */
  readonly #usedMs = new Map<Digest, number>();

  constructor(options: ImageUsesOptions) {
    this.#o = options;
  }

  /** Notes that an image is used: created from, started, tagged, pulled, saved. What can't be written is not worth a failure. */
  note(id: Digest): void {
    const nowMs = this.#o.now();
    const knownMs = this.#usedMs.get(id) ?? this.#o.table.get(id)?.usedMs;
    if (knownMs === undefined) return;
    this.#usedMs.set(id, knownMs);
    // a clock that was set back
    if (nowMs - knownMs < USE_NOTED_MS && knownMs <= nowMs) return;
    try {
      this.#o.table.setUsed(id, nowMs);
      this.#usedMs.set(id, nowMs);
    } catch (error) {
      this.#o.log.debug("the use of an image could not be noted", { image: id, error });
    }
  }

  /** @throws notFound */
  of(id: Digest): ImageUsage {
    const row = this.#o.table.get(id);
    if (row === null) throw noSuchImage(id);
    return { addedMs: row.addedMs, usedMs: row.usedMs, isPinned: row.pinned === 1 };
  }

  /** Says whether collections and prunes have to leave the image alone. @throws notFound */
  setPinned(id: Digest, isPinned: boolean): void {
    if (this.#o.table.get(id) === null) throw noSuchImage(id);
    this.#o.table.setPinned(id, isPinned);
  }

  /** The image is no more. */
  forget(id: Digest): void {
    this.#usedMs.delete(id);
  }
}
