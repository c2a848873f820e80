import type { OutputChunk, StdStream } from "../spec/engine/mod.ts";

const HEADER_BYTES = 8;
const STREAM_STDERR = 2;
const STREAM_SYSTEM_ERROR = 3;
/** More of an error's text is not shown. */
const LONGEST_FAILURE_BYTES = 64 * 1024;

/**
 * Takes Docker's multiplexed stream apart: per frame `[stream, 0, 0, 0, length (32 bit, big-endian)]` and the payload.
 * Neighbouring frames of one stream come out as one chunk. What is cut off at the end is left out.
 * @throws Error what the server reports on stream 3; for a stream that there is not
 */
export async function* demultiplex(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  const header = new Uint8Array(HEADER_BYTES);
  let headerLength = 0;
  let left = 0;
  let stream: StdStream = "stdout";
  let failure: Failure | undefined;
  for await (const bytes of source) {
    let pieces: Uint8Array[] = [];
    let piecesStream: StdStream = stream;
    let at = 0;
    while (at < bytes.length) {
      if (left === 0) {
        const n = Math.min(HEADER_BYTES - headerLength, bytes.length - at);
        header.set(bytes.subarray(at, at + n), headerLength);
        headerLength += n;
        at += n;
        if (headerLength < HEADER_BYTES) break;
        headerLength = 0;
        left = new DataView(header.buffer).getUint32(4);
        const [number = 0] = header;
        if (number >= STREAM_SYSTEM_ERROR && pieces.length > 0) {
          yield joined(piecesStream, pieces);
          pieces = [];
        }
        if (number > STREAM_SYSTEM_ERROR) throw new Error(`unrecognized stream: ${number}`);
        if (number === STREAM_SYSTEM_ERROR) failure = new Failure();
        else stream = number === STREAM_STDERR ? "stderr" : "stdout";
        if (left === 0) failure?.report();
        continue;
      }
      const n = Math.min(left, bytes.length - at);
      const piece = bytes.subarray(at, at + n);
      at += n;
      left -= n;
      if (failure !== undefined) {
        failure.add(piece);
        if (left === 0 || failure.isFull) failure.report();
        continue;
      }
      if (piecesStream !== stream && pieces.length > 0) {
        yield joined(piecesStream, pieces);
        pieces = [];
      }
      piecesStream = stream;
      pieces.push(piece);
    }
    if (pieces.length > 0) yield joined(piecesStream, pieces);
  }
}

/** The text of an error, put together from its pieces. */
class Failure {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;

  get isFull(): boolean {
    return this.#bytes >= LONGEST_FAILURE_BYTES;
  }

  add(piece: Uint8Array): void {
    this.#pieces.push(Uint8Array.from(piece));
    this.#bytes += piece.length;
  }

  report(): never {
    const text = Buffer.concat(this.#pieces).subarray(0, LONGEST_FAILURE_BYTES).toString("utf8");
    throw new Error(`error from daemon in stream: ${text}`);
  }
}

function joined(stream: StdStream, pieces: readonly Uint8Array[]): OutputChunk {
  const [first] = pieces;
  return { stream, data: pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces) };
}

/** A terminal's output: everything is stdout. */
export async function* rawOutput(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  for await (const data of source) yield { stream: "stdout", data };
}
