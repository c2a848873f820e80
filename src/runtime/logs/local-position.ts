import type { StdStream } from "../../spec/engine/mod.ts";
import type { LogMark } from "./driver.ts";
import { decodeRecord, RECORD_BYTES, type SegmentFiles } from "./segment.ts";

const NEWLINE = 10;
const ENTRY_BYTES = 16 * 1024;
const BLOCK_BYTES = 256 * 1024;

/** Where reading starts in each stream: nothing before it counts. */
export interface StartPosition {
  readonly stdout: { readonly segment: number; readonly at: number };
  readonly stderr: { readonly segment: number; readonly at: number };
}

/** The beginning of everything. */
export const BEGINNING: StartPosition = { stdout: { segment: 0, at: 0 }, stderr: { segment: 0, at: 0 } };

/** The later of two positions, stream by stream. */
export function laterOf(a: StartPosition, b: StartPosition): StartPosition {
  const later = (stream: StdStream): { segment: number; at: number } =>
    a[stream].segment > b[stream].segment || (a[stream].segment === b[stream].segment && a[stream].at > b[stream].at)
      ? a[stream]
      : b[stream];
  return { stdout: later("stdout"), stderr: later("stderr") };
}

/**
 * Where whole lines begin. A segment ends where it is full, in the middle of a line: once the segments before the oldest are deleted,
 * that one begins with what is left of a line. That is not so for the `first` one, where the log began or was cleared. Of a line that goes on for longer than docker's longest entry, the rest counts as one.
 */
export async function findWholeLines(segments: readonly number[], open: OpenSegment, first: number): Promise<StartPosition> {
  const [oldest] = segments;
  if (oldest === undefined || oldest === first) return BEGINNING;
  using files = await open(oldest);
  const block = Buffer.alloc(ENTRY_BYTES);
  const behindNewline = (stream: StdStream): { segment: number; at: number } => {
    const count = files.readData(stream, block, 0);
    return { segment: oldest, at: block.subarray(0, count).indexOf(NEWLINE) + 1 };
  };
  return { stdout: behindNewline("stdout"), stderr: behindNewline("stderr") };
}

/** Reads a stream's bytes in blocks, from the end to the beginning. */
class BackwardBytes {
  readonly #files: SegmentFiles;
  readonly #stream: StdStream;
  readonly #block = Buffer.allocUnsafe(BLOCK_BYTES);
  #start = 0;
  #length = 0;

  constructor(files: SegmentFiles, stream: StdStream) {
    this.#files = files;
    this.#stream = stream;
  }

  /** The place of the last newline in [from, before), -1 when there is none. */
  lastNewline(from: number, before: number): number {
    let end = before;
    while (end > from) {
      if (end > this.#start + this.#length || end <= this.#start) this.#load(end);
      const at = this.#block.subarray(0, end - this.#start).lastIndexOf(NEWLINE);
      if (at >= 0 && this.#start + at >= from) return this.#start + at;
      if (this.#start <= from) return -1;
      end = this.#start;
    }
    return -1;
  }

  #load(end: number): void {
    this.#start = Math.max(0, end - BLOCK_BYTES);
    this.#length = this.#files.readData(this.#stream, this.#block.subarray(0, end - this.#start), this.#start);
  }
}

interface TailState {
  wanted: boolean;
  /** Whether a chosen line of this stream has no known beginning yet. */
  open: boolean;
  segment: number;
  at: number;
}

/** How segments are opened, by number. */
export type OpenSegment = (segment: number) => Promise<SegmentFiles>;

export interface TailRequest {
  readonly lines: number;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Where the log ends. */
  readonly end: LogMark;
}

/** Finds where the last lines begin; lines are counted in the order of their ends. Reads no more than it must. */
export async function findTail(segments: readonly number[], open: OpenSegment, request: TailRequest): Promise<StartPosition> {
  const { end } = request;
  const states: Record<StdStream, TailState> = {
    stdout: { wanted: request.stdout, open: false, segment: end.segment, at: end.stdout },
    stderr: { wanted: request.stderr, open: false, segment: end.segment, at: end.stderr },
  };
  const scan: TailScan = { left: request.lines, states, isAtEnd: { stdout: true, stderr: true } };
  for (let i = segments.length - 1; i >= 0 && !isDone(scan); i--) {
    const segment = segments[i];
    if (segment === undefined || segment > end.segment) continue;
    using files = await open(segment);
    scanSegment(files, scan, segment === end.segment ? end : undefined);
  }
  // what is still open begins where the log begins
  const start = (state: TailState): { segment: number; at: number } =>
    state.open ? { segment: 0, at: 0 } : { segment: state.segment, at: state.at };
  return { stdout: start(states.stdout), stderr: start(states.stderr) };
}

interface TailScan {
  left: number;
  readonly states: Record<StdStream, TailState>;
  /** Whether nothing of the stream was seen yet. */
  readonly isAtEnd: Record<StdStream, boolean>;
}

function isDone(scan: TailScan): boolean {
  return scan.left === 0 && !scan.states.stdout.open && !scan.states.stderr.open;
}

function scanSegment(files: SegmentFiles, scan: TailScan, end: LogMark | undefined): void {
  const index = Buffer.allocUnsafe(files.indexBytes());
  const size = files.readIndex(index, 0);
  const bytes = { stdout: new BackwardBytes(files, "stdout"), stderr: new BackwardBytes(files, "stderr") };
  for (let at = size - RECORD_BYTES; at >= 0 && !isDone(scan); at -= RECORD_BYTES) {
    const record = decodeRecord(index, at);
    const before = at === 0 ? { stdoutEnd: 0, stderrEnd: 0 } : decodeRecord(index, at - RECORD_BYTES);
    scanPiece(files.segment, scan, bytes.stdout, {
      stream: "stdout",
      from: before.stdoutEnd,
      end: Math.min(record.stdoutEnd, end?.stdout ?? record.stdoutEnd),
    });
    scanPiece(files.segment, scan, bytes.stderr, {
      stream: "stderr",
      from: before.stderrEnd,
      end: Math.min(record.stderrEnd, end?.stderr ?? record.stderrEnd),
    });
  }
}

function scanPiece(
  segment: number,
  scan: TailScan,
  bytes: BackwardBytes,
  piece: { readonly stream: StdStream; readonly from: number; readonly end: number },
): void {
  const state = scan.states[piece.stream];
  if (!state.wanted || piece.end <= piece.from) return;
  let end = piece.end;
  if (scan.isAtEnd[piece.stream]) {
    scan.isAtEnd[piece.stream] = false;
    // an unfinished last line counts as a line
    if (scan.left > 0 && bytes.lastNewline(end - 1, end) < 0) {
      scan.left--;
      state.open = true;
    }
  }
  while (scan.left > 0 || state.open) {
    const newline = bytes.lastNewline(piece.from, end);
    if (newline < 0) return;
    if (state.open) {
      state.open = false;
      state.segment = segment;
      state.at = newline + 1;
    }
    if (scan.left > 0) {
      scan.left--;
      state.open = true;
    }
    end = newline;
  }
}

/** Finds where the lines begin that ended at `sinceNs` or later; undefined when the whole segment is older. */
export function findSince(files: SegmentFiles, sinceNs: bigint): StartPosition | undefined {
  const index = Buffer.allocUnsafe(files.indexBytes());
  const count = files.readIndex(index, 0) / RECORD_BYTES;
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (index.readBigInt64LE(middle * RECORD_BYTES) >= sinceNs) high = middle;
    else low = middle + 1;
  }
  if (low === count) return undefined;
  const before = low === 0 ? { stdoutEnd: 0, stderrEnd: 0 } : decodeRecord(index, (low - 1) * RECORD_BYTES);
  // a line that was begun before and ended later belongs to it
  const out = new BackwardBytes(files, "stdout").lastNewline(0, before.stdoutEnd) + 1;
  const err = new BackwardBytes(files, "stderr").lastNewline(0, before.stderrEnd) + 1;
  return { stdout: { segment: files.segment, at: out }, stderr: { segment: files.segment, at: err } };
}
