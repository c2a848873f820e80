import type { OutputChunk, StdStream } from "../spec/engine/mod.ts";

const HEADER_BYTES = 8;
const STREAM_SYSTEM_ERROR = 3;

/**
 * Takes Docker's multiplexed stream apart: per frame `[stream, 0, 0, 0, length (32 bit, big-endian)]` and the payload.
 * Neighbouring frames of one stream come out as one chunk. @throws what the server reports on stream 3
 */
export async function* demultiplex(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  const header = new Uint8Array(HEADER_BYTES);
  let headerLength = 0;
  let left = 0;
  let stream: StdStream = "stdout";
  let failure: string | undefined;
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
        if (header[0] === STREAM_SYSTEM_ERROR) failure = "";
        stream = header[0] === 2 ? "stderr" : "stdout";
        continue;
      }
      const n = Math.min(left, bytes.length - at);
      const piece = bytes.subarray(at, at + n);
      at += n;
      left -= n;
      if (failure !== undefined) {
        failure += Buffer.from(piece).toString("utf8");
        if (left === 0) throw new Error(`error from daemon in stream: ${failure}`);
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

function joined(stream: StdStream, pieces: readonly Uint8Array[]): OutputChunk {
  const [first] = pieces;
  return { stream, data: pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces) };
}

/** A terminal's output: everything is stdout. */
export async function* rawOutput(source: AsyncIterable<Uint8Array>): AsyncGenerator<OutputChunk> {
  for await (const data of source) yield { stream: "stdout", data };
}
