import type { Logger } from "../../lib/mod.ts";
import type { OutputChunk } from "../../spec/engine/mod.ts";
import { SegmentCompressor } from "./compress.ts";
import type { ClockNs, LogDriver, LogMark, LogReadOptions, LogWriter } from "./driver.ts";
import { formatAttributes } from "./driver.ts";
import { readLocal } from "./local-reader.ts";
import { LocalWriter } from "./local-writer.ts";
import { listSegments } from "./segment.ts";

export interface LocalLogOptions {
  /** Directory of the segments; made when the log is opened. */
  readonly dir: string;
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  readonly compress: boolean;
  readonly attributes: Readonly<Record<string, string>>;
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
 * └─ 000001.out.zst … an old segment, compressed in the background; only `max-file` segments are kept
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
  readonly #attributes: string;
  readonly #waiting = new Set<() => void>();
  #writer: LocalWriter | undefined;

  constructor(options: LocalLogOptions) {
    this.#options = options;
    this.#attributes = formatAttributes(options.attributes);
    this.#compressor = new SegmentCompressor(options.dir, options.log);
  }

  open(): LogWriter {
    const { dir, maxSizeBytes, maxFiles, clock, log } = this.#options;
    const writer = new LocalWriter({
      dir,
      maxSizeBytes,
      maxFiles,
      clock,
      log,
      onAppend: () => this.#wake(),
      onRotate: (segment) => {
        if (this.#options.compress && maxFiles > 1) this.#compressor.add(segment);
      },
    });
    this.#writer = writer;
    const close = writer.close.bind(writer);
    return {
      pump: (pipe, stream, length, into) => writer.pump(pipe, stream, length, into),
      append: (stream, data) => writer.append(stream, data),
      finish: () => writer.finish(),
      close: () => {
        close();
        if (this.#writer === writer) this.#writer = undefined;
        this.#wake();
      },
    };
  }

  mark(): LogMark | undefined {
    return this.#writer?.mark;
  }

  read(options: LogReadOptions, before?: LogMark): AsyncIterable<OutputChunk> {
    const open = (segment: number) => this.#compressor.open(segment);
    const source = {
      segments: () => listSegments(this.#options.dir),
      open,
      end: async (): Promise<LogMark> => this.#writer?.mark ?? (await this.#endOnDisk()),
      more: (mark: LogMark, signal: AbortSignal | undefined) => this.#more(mark, signal),
      attributes: this.#attributes,
    };
    return readLocal(source, options, before);
  }

  async #endOnDisk(): Promise<LogMark> {
    const segment = listSegments(this.#options.dir).at(-1);
    if (segment === undefined) return { segment: 0, stdout: 0, stderr: 0 };
    using files = await this.#compressor.open(segment);
    const last = files.last();
    return { segment, stdout: last?.stdoutEnd ?? 0, stderr: last?.stderrEnd ?? 0 };
  }

  #more(mark: LogMark, signal: AbortSignal | undefined): Promise<boolean> {
    const now = this.#writer?.mark;
    if (now === undefined || signal?.aborted) return Promise.resolve(false);
    if (now.segment !== mark.segment || now.stdout !== mark.stdout || now.stderr !== mark.stderr) return Promise.resolve(true);
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve(this.#writer !== undefined && signal?.aborted !== true);
      };
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
    });
  }

  #wake(): void {
    if (this.#waiting.size === 0) return;
    for (const wake of [...this.#waiting]) wake();
  }
}
