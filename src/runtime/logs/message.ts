import { randomId } from "../../lib/mod.ts";
import type { StdStream } from "../../spec/engine/mod.ts";

/** A longer line becomes several messages: docker's size. */
export const MESSAGE_BYTES = 16 * 1024;
const NEWLINE = 10;
const NOTHING = Buffer.alloc(0);

/** Which part of a long line a message is. */
export interface PartialLine {
  /** The same for all parts of a line. */
  readonly id: string;
  /** From 1 on. */
  readonly ordinal: number;
  readonly isLast: boolean;
}

/** One line of output, without its newline. */
export interface LogMessage {
  readonly stream: StdStream;
  readonly line: Buffer;
  readonly timeNs: bigint;
  readonly partial: PartialLine | undefined;
  /** Where the stream goes on behind it. */
  readonly segment: number;
  readonly end: number;
}

/** Where a piece of a stream ends in the log. */
export interface PieceEnd {
  readonly timeNs: bigint;
  readonly segment: number;
  readonly end: number;
}

interface LineState {
  pending: Buffer;
  partial: PartialLine | undefined;
  partialNs: bigint;
  last: PieceEnd | undefined;
  /** The beginning of the line is missing. */
  isSkipping: boolean;
}

function fresh(): LineState {
  return { pending: NOTHING, partial: undefined, partialNs: 0n, last: undefined, isSkipping: false };
}

/** Cuts the pieces of a log into messages as docker does: by lines, and lines of more than 16 KiB into parts of that length. */
export class MessageCutter {
  readonly #states: Record<StdStream, LineState> = { stdout: fresh(), stderr: fresh() };

  /** Takes the next piece of a stream; its bytes are copied. */
  *feed(stream: StdStream, data: Uint8Array, piece: PieceEnd): Generator<LogMessage> {
    const state = this.#states[stream];
    const bytes = state.pending.length > 0 ? Buffer.concat([state.pending, data]) : Buffer.from(data);
    state.last = piece;
    let at = 0;
    if (state.isSkipping) {
      at = bytes.indexOf(NEWLINE) + 1;
      if (at === 0) return;
      state.isSkipping = false;
    }
    for (;;) {
      const newline = bytes.indexOf(NEWLINE, at);
      const end = newline < 0 ? bytes.length : newline;
      if (newline >= 0 && newline - at < MESSAGE_BYTES) {
        const line = bytes.subarray(at, end);
        at = newline + 1;
        yield message(stream, state, { line, isEnd: true, behind: bytes.length - at });
      } else if (end - at >= MESSAGE_BYTES) {
        const line = bytes.subarray(at, at + MESSAGE_BYTES);
        at += MESSAGE_BYTES;
        yield message(stream, state, { line, isEnd: false, behind: bytes.length - at });
      } else break;
    }
    state.pending = bytes.subarray(at);
  }

  /** The process has ended: what is left of a stream is a message, too. */
  *flush(stream: StdStream): Generator<LogMessage> {
    const state = this.#states[stream];
    const { pending } = state;
    if (pending.length > 0) yield message(stream, state, { line: pending, isEnd: false, behind: 0 });
    this.#states[stream] = fresh();
  }

  /** Pieces are missing: what was begun is dropped, and so is what is left of a line that began in them. */
  skip(): void {
    for (const stream of ["stdout", "stderr"] as const) this.#states[stream] = { ...fresh(), isSkipping: true };
  }
}

function message(
  stream: StdStream,
  state: LineState,
  { line, isEnd, behind }: { readonly line: Buffer; readonly isEnd: boolean; readonly behind: number },
): LogMessage {
  const { timeNs = 0n, segment = 0, end = 0 } = state.last ?? {};
  let partial: PartialLine | undefined;
  if (!isEnd || state.partial !== undefined) {
    partial = { id: state.partial?.id ?? randomId(), ordinal: (state.partial?.ordinal ?? 0) + 1, isLast: isEnd };
    if (state.partial === undefined) state.partialNs = timeNs;
  }
  state.partial = isEnd ? undefined : partial;
  return { stream, line, timeNs: partial === undefined ? timeNs : state.partialNs, partial, segment, end: end - behind };
}
