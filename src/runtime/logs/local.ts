import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DhowError, errnoCode, type Logger, writeFileAtomic } from "../../lib/mod.ts";
import type { OutputChunk } from "../../spec/engine/mod.ts";
import { SegmentCompressor } from "./compress.ts";
import type { ClockNs, LogDriver, LogMark, LogReadOptions, LogWriter } from "./driver.ts";
import { formatAttributes } from "./driver.ts";
import { Followers } from "./followers.ts";
import { type LocalSource, readLocal, type SegmentPin } from "./local-reader.ts";
import { LocalWriter } from "./local-writer.ts";
import { filesBytes, listSegments } from "./segment.ts";

/** How far a reader may be behind without losing what `max-file` would delete. */
const LAG_BYTES = 16 * 1024 * 1024;
const LAG_SEGMENTS = 1024;

export interface LocalLogOptions {
  /** Directory of the segments; made when the log is opened. */
  readonly dir: string;
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  readonly compress: boolean;
  /** What `--details` shows. @throws invalid for options that are none */
  readonly attributes: () => Readonly<Record<string, string>>;
  readonly clock: ClockNs;
  readonly log: Logger;
}

/**
 * The `local` driver: a bounded log in segments.
 *
 * ```
 * <dir>/
 * ├─ 000001.out       what came from stdout, byte for byte
 * ├─ 000001.err       the same of stderr; missing when nothing came
 * ├─ 000001.idx       16-byte records in the order of arrival: i64 timeNs, u32 end of .out, u32 end of .err (little endian)
 * ├─ 000002.out …     the next segment, once 1 has `max-size` bytes (all three files counted)
 * ├─ 000001.out.zst … an old segment, compressed in the background; only `max-file` segments are kept, and those that a reader still needs
 * └─ cleared          number of the first segment after the log was cleared; older ones may still be there, but are not part of it
 * ```
 *
 * A record says: at this time the streams had grown to here. Bytes behind the last record are not part of the log yet; a writer
 * that finds them when it opens gives them a record, because a killed one had no time to. So no byte is lost and none is there twice.
 */
export class LocalLog implements LogDriver {
  readonly name = "local";
  readonly canRead = true;
  readonly path = "";
  readonly #options: LocalLogOptions;
  readonly #compressor: SegmentCompressor;
  readonly #followers = new Followers();
  readonly #pins = new Set<SegmentPin>();
  #clearedFrom: number | undefined;
  #written = 0;
  #writer: LocalWriter | undefined;

  constructor(options: LocalLogOptions) {
    this.#options = options;
    this.#compressor = new SegmentCompressor(options.dir, options.log, { neededFrom: () => this.#neededFrom() });
  }

  prepare(): undefined {
    this.#options.attributes();
  }

  open(): LogWriter {
    const writer = this.#openWriter();
    this.#writer = writer;
    const close = writer.close.bind(writer);
    return {
      pump: (pipe, stream, length, into) => writer.pump(pipe, stream, length, into),
      append: (stream, data) => writer.append(stream, data),
      finish: () => writer.finish(),
      isFull: false,
      close: () => {
        close();
        if (this.#writer === writer) this.#writer = undefined;
        this.#followers.wake();
      },
    };
  }

  #openWriter(): LocalWriter {
    const { dir, maxSizeBytes, maxFiles, clock, log } = this.#options;
    return new LocalWriter({
      dir,
      maxSizeBytes,
      maxFiles,
      clock,
      log,
      onAppend: (bytes) => {
        this.#written += bytes;
        this.#followers.wake();
      },
      onRotate: (segment) => {
        if (this.#options.compress && maxFiles > 1) this.#compressor.add(segment);
      },
      neededFrom: () => this.#neededFrom(),
      firstSegment: () => this.#firstSegment(),
    });
  }

  mark(): LogMark | undefined {
    return this.#writer?.mark;
  }

  read(options: LogReadOptions, before?: LogMark): AsyncIterable<OutputChunk> {
    const segments = (): number[] => listSegments(this.#options.dir).filter((segment) => segment >= this.#firstSegment());
    return readLocal(this.source({ segments }), options, { before, attributes: formatAttributes(this.#options.attributes()) });
  }

  /** How many bytes were added since this object exists. */
  get writtenBytes(): number {
    return this.#written;
  }

  /** What a reader of all segments needs; a strict one loses nothing, however far it is behind. */
  source(special: { readonly segments?: () => number[]; readonly isStrict?: () => boolean } = {}): LocalSource {
    return {
      segments: special.segments ?? (() => listSegments(this.#options.dir)),
      open: (segment) => this.#compressor.open(segment),
      end: async () => this.#writer?.mark ?? (await this.#endOnDisk()),
      more: (mark, signal) => this.#more(mark, signal),
      pin: () => this.#pin(special.isStrict ?? (() => false)),
      firstSegment: () => this.#firstSegment(),
    };
  }

  clear(): void {
    const writer = this.#writer ?? this.#openWriter();
    try {
      const segment = writer.startSegment();
      // from here on the older ones do not count, whenever they go
      writeFileAtomic(join(this.#options.dir, "cleared"), String(segment), { mode: 0o600 });
      this.#clearedFrom = segment;
      writer.prune();
    } catch (error) {
      throw new DhowError("internal", "clear the log: it can't be written", { cause: error });
    } finally {
      if (writer !== this.#writer) writer.close();
    }
    this.#followers.wake();
  }

  sizeBytes(): number {
    return filesBytes(this.#options.dir, () => true);
  }

  #firstSegment(): number {
    if (this.#clearedFrom !== undefined) return this.#clearedFrom;
    let text = "";
    try {
      text = readFileSync(join(this.#options.dir, "cleared"), "utf8");
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") throw error;
    }
    this.#clearedFrom = Number.parseInt(text, 10) || 1;
    return this.#clearedFrom;
  }

  #pin(isStrict: () => boolean): SegmentPin {
    const pin = {
      segment: 0,
      isStrict,
      [Symbol.dispose]: () => {
        this.#pins.delete(pin);
        // what was kept for this reader alone
        if (this.#writer !== undefined && this.#pins.size === 0) this.#writer.prune();
      },
    };
    this.#pins.add(pin);
    return pin;
  }

  /** The oldest segment that a reader still needs. */
  #neededFrom(): number {
    let needed = Number.POSITIVE_INFINITY;
    const current = this.#writer?.mark.segment ?? 0;
    const lag = Math.min(LAG_SEGMENTS, Math.ceil(LAG_BYTES / this.#options.maxSizeBytes));
    for (const pin of this.#pins) needed = Math.min(needed, pin.isStrict() ? pin.segment : Math.max(pin.segment, current - lag));
    return needed;
  }

  async #endOnDisk(): Promise<LogMark> {
    const segment = listSegments(this.#options.dir).at(-1);
    if (segment === undefined) return { segment: 0, stdout: 0, stderr: 0 };
    using files = await this.#compressor.open(segment);
    const last = files.last();
    return { segment, stdout: last?.stdoutEnd ?? 0, stderr: last?.stderrEnd ?? 0 };
  }

  async #more(mark: LogMark, signal: AbortSignal | undefined): Promise<boolean> {
    const now = this.#writer?.mark;
    if (now === undefined || signal?.aborted) return false;
    if (now.segment !== mark.segment || now.stdout !== mark.stdout || now.stderr !== mark.stderr) return true;
    await this.#followers.wait(signal);
    return this.#writer !== undefined && signal?.aborted !== true;
  }
}
