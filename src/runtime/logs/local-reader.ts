import type { OutputChunk, StdStream } from "../../spec/engine/mod.ts";
import type { LogMark, LogReadOptions } from "./driver.ts";
import { LineFormatter } from "./lines.ts";
import { findSince, findTail, findWholeLines, laterOf, type OpenSegment, type StartPosition } from "./local-position.ts";
import { decodeRecord, RECORD_BYTES, type SegmentFiles } from "./segment.ts";

const CHUNK_BYTES = 256 * 1024;
const INDEX_BLOCK_BYTES = 64 * 1024;

/** What a reader asks of the log it reads. */
export interface LocalSource {
  /** Numbers of the segments that exist now, oldest first. */
  segments(): number[];
  readonly open: OpenSegment;
  /** Where the log ends now. */
  end(): Promise<LogMark>;
  /** Resolves when something was added after `mark`, or the writer closed, or `signal` aborted; false when nothing will come any more. */
  more(mark: LogMark, signal: AbortSignal | undefined): Promise<boolean>;
  /** Marks a reader: the segments from its own on are not deleted as long as it is not far behind. */
  pin(): SegmentPin;
  /** The oldest segment that begins with a whole line for certain. */
  firstSegment(): number;
}

/** Where a reader is; a strict one may be as far behind as it likes. */
export interface SegmentPin extends Disposable {
  segment: number;
  readonly isStrict: () => boolean;
}

/** A piece of one stream, in a buffer that is used again for the next one. */
export interface LogPiece {
  readonly stream: StdStream;
  readonly data: Uint8Array;
  readonly timeNs: bigint;
  /** Where the stream goes on behind it. */
  readonly segment: number;
  readonly end: number;
}

/** Reads a local log in the order it was written. */
export async function* readLocal(
  source: LocalSource,
  options: LogReadOptions,
  { before, attributes }: { readonly before: LogMark | undefined; readonly attributes: string },
): AsyncGenerator<OutputChunk> {
  using pin = source.pin();
  pin.segment = source.segments()[0] ?? 0;
  const start = await startPosition(source, options, before);
  const needsLines = options.timestamps || options.details;
  const formatter = needsLines ? new LineFormatter(options, attributes) : undefined;
  for await (const piece of readPieces(source, pin, options, { start, before })) {
    if (formatter === undefined) {
      if (piece !== undefined) yield piece;
    } else if (piece === undefined) yield* formatter.flush();
    else yield* formatter.feed(piece.stream, piece.data, piece.timeNs);
  }
  if (formatter !== undefined) yield* formatter.finish();
}

async function startPosition(source: LocalSource, options: LogReadOptions, before: LogMark | undefined): Promise<StartPosition> {
  const segments = source.segments();
  let start = await findWholeLines(segments, source.open, source.firstSegment());
  if (options.tail >= 0) {
    const end = before ?? (await source.end());
    const tail = await findTail(segments, source.open, { lines: options.tail, stdout: options.stdout, stderr: options.stderr, end });
    start = laterOf(start, tail);
  }
  if (options.sinceNs <= 0n) return start;
  for (const segment of segments) {
    using files = await source.open(segment);
    const since = findSince(files, options.sinceNs);
    if (since !== undefined) return laterOf(start, since);
  }
  const end = await source.end();
  return { stdout: { segment: end.segment, at: end.stdout }, stderr: { segment: end.segment, at: end.stderr } };
}

/** Which part of a log is read. */
export interface LogRange {
  readonly start: StartPosition;
  readonly before?: LogMark | undefined;
}

/** The log piece by piece, from `start` on. Yields undefined when the reader has all there is and is about to wait. */
export async function* readPieces(
  source: LocalSource,
  pin: SegmentPin,
  options: LogReadOptions,
  { start, before }: LogRange,
): AsyncGenerator<LogPiece | undefined> {
  let segment = Math.min(start.stdout.segment, start.stderr.segment);
  if (!options.stdout) segment = start.stderr.segment;
  else if (!options.stderr) segment = start.stdout.segment;
  segment = nextSegment(source, segment) ?? 0;
  if (segment === 0) {
    // nothing was ever written: a follower waits for the first segment
    if (!options.follow || !(await source.more({ segment: 0, stdout: 0, stderr: 0 }, options.signal))) return;
    segment = nextSegment(source, 1) ?? 1;
  }
  for (;;) {
    if (before !== undefined && segment > before.segment) return;
    pin.segment = segment;
    using files = await source.open(segment);
    const cursor = new SegmentCursor(files, options, start, before);
    for (;;) {
      yield* cursor.read();
      if (cursor.isPastEnd || options.signal?.aborted || (before !== undefined && segment >= before.segment)) return;
      const next = nextSegment(source, segment + 1);
      if (next !== undefined) {
        // the writer may have added to this one before it went on
        yield* cursor.read();
        if (cursor.isPastEnd) return;
        segment = next;
        break;
      }
      if (!options.follow) return;
      yield undefined;
      const mark = { segment, ...cursor.position };
      if (await source.more(mark, options.signal)) continue;
      if (options.signal?.aborted) return;
      yield* cursor.read();
      const last = nextSegment(source, segment + 1);
      if (last === undefined || cursor.isPastEnd) return;
      segment = last;
      break;
    }
  }
}

function nextSegment(source: LocalSource, from: number): number | undefined {
  return source.segments().find((segment) => segment >= from);
}

/** Goes through one segment; can go on where it stopped when there is more. */
class SegmentCursor {
  readonly #files: SegmentFiles;
  readonly #options: LogReadOptions;
  readonly #wanted: Record<StdStream, boolean>;
  readonly #skipTo: Record<StdStream, number>;
  readonly #stopAt: Record<StdStream, number>;
  readonly #byLine: boolean;
  readonly #index = Buffer.allocUnsafe(INDEX_BLOCK_BYTES);
  readonly #at: Record<StdStream, number> = { stdout: 0, stderr: 0 };
  #buffer: Buffer | undefined;
  #indexAt = 0;
  /** Set when `untilNs` was reached. */
  isPastEnd = false;

  constructor(files: SegmentFiles, options: LogReadOptions, start: StartPosition, before: LogMark | undefined) {
    this.#files = files;
    this.#options = options;
    this.#wanted = { stdout: options.stdout, stderr: options.stderr };
    this.#byLine = options.timestamps || options.details;
    const skip = (stream: StdStream): number =>
      start[stream].segment > files.segment ? Number.POSITIVE_INFINITY : start[stream].segment === files.segment ? start[stream].at : 0;
    this.#skipTo = { stdout: skip("stdout"), stderr: skip("stderr") };
    const isLast = before?.segment === files.segment;
    this.#stopAt = { stdout: isLast ? before.stdout : Number.POSITIVE_INFINITY, stderr: isLast ? before.stderr : Number.POSITIVE_INFINITY };
  }

  get position(): { readonly stdout: number; readonly stderr: number } {
    return this.#at;
  }

  /** What the index has now and was not read yet. */
  *read(): Generator<LogPiece> {
    for (;;) {
      const available = this.#files.indexBytes() - this.#indexAt;
      if (available <= 0) return;
      const size = this.#files.readIndex(this.#index.subarray(0, Math.min(available, INDEX_BLOCK_BYTES)), this.#indexAt);
      if (size < RECORD_BYTES) return;
      yield* this.#readRecords(size - (size % RECORD_BYTES));
      if (this.isPastEnd) return;
    }
  }

  *#readRecords(size: number): Generator<LogPiece> {
    let run: { stream: StdStream; end: number; timeNs: bigint } | undefined;
    for (let at = 0; at < size; at += RECORD_BYTES) {
      const record = decodeRecord(this.#index, at);
      if (this.#options.untilNs > 0n && record.timeNs > this.#options.untilNs) {
        this.isPastEnd = true;
        break;
      }
      this.#indexAt += RECORD_BYTES;
      for (const stream of ["stdout", "stderr"] as const) {
        const end = stream === "stdout" ? record.stdoutEnd : record.stderrEnd;
        const known = run?.stream === stream ? run.end : this.#at[stream];
        if (end <= known) continue;
        // neighbours of one stream are read at once, unless each has its own time to show
        if (run !== undefined && (run.stream !== stream || this.#byLine)) yield* this.#take(run);
        run = { stream, end, timeNs: record.timeNs };
      }
    }
    if (run !== undefined) yield* this.#take(run);
  }

  *#take(run: { readonly stream: StdStream; readonly end: number; readonly timeNs: bigint }): Generator<LogPiece> {
    const { stream } = run;
    let from = Math.max(this.#at[stream], Math.min(this.#skipTo[stream], run.end));
    const end = Math.min(run.end, this.#stopAt[stream]);
    this.#at[stream] = run.end;
    if (!this.#wanted[stream]) return;
    while (from < end) {
      this.#buffer ??= Buffer.allocUnsafe(CHUNK_BYTES);
      const count = this.#files.readData(stream, this.#buffer.subarray(0, Math.min(end - from, CHUNK_BYTES)), from);
      if (count === 0) return;
      from += count;
      yield { stream, data: this.#buffer.subarray(0, count), timeNs: run.timeNs, segment: this.#files.segment, end: from };
    }
  }
}
