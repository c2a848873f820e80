/**
 * What the daemon and a process that works on files for it say to each other.
 *
 * ```
 * to the helper:   message(work)…     then, where it is to unpack one, a tar to its end
 * from it:         frame…             what the work gives
 * message:         u32 little endian: length, JSON
 * frame:           u8 kind, u32 little endian: length, payload (JSON, or bytes of an archive)
 * ```
 */
import { DhowError, type ErrorKind, errnoCode, errorKind, errorMessage } from "../../lib/mod.ts";
import { SysError } from "../../linux/mod.ts";

/** The kinds of frames. */
export const FRAME = { opened: 1, stat: 2, bytes: 3, fault: 4, done: 5, failed: 6, count: 7 } as const;

/** The length of what comes before a frame's payload. */
export const FRAME_HEAD_BYTES = 5;

/** An error as data. */
export type ErrorData =
  | { readonly type: "system"; readonly call: string; readonly errno: number; readonly arg: string }
  | { readonly type: "dhow"; readonly kind: ErrorKind; readonly message: string }
  | { readonly type: "other"; readonly message: string; readonly code?: string | undefined };

/** What comes before a frame's payload of `length` bytes. */
export function frameHead(kind: number, length: number): Buffer {
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUInt8(kind, 0);
  head.writeUInt32LE(length, 1);
  return head;
}

/** A message with its length. */
export function encodeMessage(value: unknown): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const head = Buffer.alloc(4);
  head.writeUInt32LE(json.length, 0);
  return Buffer.concat([head, json]);
}

/** An error that another process can make again by `decodeError`. */
export function encodeError(error: unknown): ErrorData {
  if (error instanceof SysError) return { type: "system", call: error.call, errno: error.errno, arg: error.arg };
  if (error instanceof DhowError) return { type: "dhow", kind: errorKind(error), message: error.message };
  return { type: "other", message: errorMessage(error), code: errnoCode(error) };
}

export function decodeError(data: ErrorData): Error {
  switch (data.type) {
    case "system":
      return new SysError(data.call, data.errno, data.arg);
    case "dhow":
      return new DhowError(data.kind, data.message);
    case "other":
      return Object.assign(new Error(data.message), data.code === undefined ? {} : { code: data.code });
    default: {
      const _: never = data;
      return _;
    }
  }
}

/** Reads a stream piece by piece, as many bytes as asked for. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Up to `max` bytes, as they are there; undefined at the end. */
  async some(max: number): Promise<Buffer | undefined> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#source.next();
      if (done) return undefined;
      this.#rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    }
    const piece = this.#rest.subarray(0, max);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  /** Exactly `length` bytes; undefined when the stream ends before. */
  async exactly(length: number): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    for (let left = length; left > 0; ) {
      const piece = await this.some(left);
      if (piece === undefined) return undefined;
      pieces.push(piece);
      left -= piece.length;
    }
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  }

  /** What is left of the stream. */
  async *remaining(): AsyncGenerator<Uint8Array, void, void> {
    for (let piece = await this.some(Number.MAX_SAFE_INTEGER); piece; piece = await this.some(Number.MAX_SAFE_INTEGER)) yield piece;
  }
}
