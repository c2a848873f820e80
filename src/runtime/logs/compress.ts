import { createReadStream, createWriteStream, existsSync, openSync, renameSync, rmSync, unlinkSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import type { Logger } from "../../lib/mod.ts";
import { listSegments, SegmentFiles, type SegmentPart, segmentPath } from "./segment.ts";

const PARTS: readonly SegmentPart[] = ["out", "err", "idx"];
// a fast writer's old segments are deleted before they are worth the work
const DELAY_MS = 60_000;

/** Compresses old segments one by one in the background, and opens them again. */
export class SegmentCompressor {
  readonly #dir: string;
  readonly #log: Logger;
  readonly #delayMs: number;
  readonly #neededFrom: () => number;
  #newest = 0;
  #isScheduled = false;

  constructor(dir: string, log: Logger, options: { readonly delayMs?: number; readonly neededFrom?: () => number } = {}) {
    this.#dir = dir;
    this.#log = log;
    this.#delayMs = options.delayMs ?? DELAY_MS;
    this.#neededFrom = options.neededFrom ?? (() => Number.POSITIVE_INFINITY);
  }

  /** Compresses `segment`, and all before it, after a while; those that still exist then. */
  add(segment: number): void {
    this.#newest = segment;
    // one timer for all: small segments can be closed by the thousand
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setTimeout(() => {
      this.#compressAll().catch((error: unknown) => this.#log.warn("log segments can't be compressed", { dir: this.#dir, error }));
    }, this.#delayMs).unref();
  }

  async #compressAll(): Promise<void> {
    const upTo = this.#newest;
    try {
      for (const segment of listSegments(this.#dir)) {
        // a reader that has it open may not have opened all of its files yet
        if (segment <= upTo && segment < this.#neededFrom() && existsSync(segmentPath(this.#dir, segment, "idx")))
          await this.compress(segment);
      }
    } finally {
      this.#isScheduled = false;
      if (this.#newest > upTo) this.add(this.#newest);
    }
  }

  /** Replaces the files of `segment` by compressed ones; the index is last, so that a half-done segment is never taken for whole. */
  async compress(segment: number): Promise<void> {
    const { createZstdCompress } = await import("node:zlib");
    for (const part of PARTS) {
      const plain = segmentPath(this.#dir, segment, part);
      if (!existsSync(plain)) continue;
      const temporary = `${plain}.tmp`;
      try {
        await pipeline(
          createReadStream(plain, { highWaterMark: 256 * 1024 }),
          createZstdCompress(),
          createWriteStream(temporary, { mode: 0o600 }),
        );
        if (!existsSync(plain)) throw new Error("segment was deleted meanwhile");
        renameSync(temporary, `${plain}.zst`);
      } catch (error) {
        rmSync(temporary, { force: true });
        if (existsSync(plain)) throw error;
        return;
      }
      unlinkSync(plain);
    }
  }

  /** Opens a segment for reading; a compressed one through unnamed temporary files. */
  async open(segment: number): Promise<SegmentFiles> {
    const fds: Partial<Record<SegmentPart, number>> = {};
    for (const part of PARTS) {
      const fd = await this.#openPart(segmentPath(this.#dir, segment, part));
      if (fd !== undefined) fds[part] = fd;
    }
    return new SegmentFiles(this.#dir, segment, fds);
  }

  async #openPart(plain: string): Promise<number | undefined> {
    if (existsSync(plain) || !existsSync(`${plain}.zst`)) return undefined;
    const { createZstdDecompress } = await import("node:zlib");
    const temporary = `${plain}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
    try {
      await pipeline(createReadStream(`${plain}.zst`), createZstdDecompress(), createWriteStream(temporary, { mode: 0o600 }));
      return openSync(temporary, "r");
    } finally {
      rmSync(temporary, { force: true });
    }
  }
}
