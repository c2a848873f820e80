import { DhowError } from "../lib/mod.ts";

/** Longest line of a size or a trailer, as in Go's net/http. */
const MAX_LINE_BYTES = 4096;
const NEWLINE = 10;

/** What a body still has to bring. */
type State = "size" | "data" | "after-data" | "trailers" | "done";

/**
 * A body sent in chunks, read from a connection that no HTTP parser looks at. Chunk extensions and trailers mean nothing here.
 * @see https://www.rfc-editor.org/rfc/rfc9112#name-chunked-transfer-coding
 */
export class ChunkedBody {
  readonly #limitBytes: number;
  readonly #pieces: Uint8Array[] = [];
  #line: Buffer = Buffer.alloc(0);
  #sizeBytes = 0;
  #left = 0;
  #state: State = "size";

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /**
   * Takes what has arrived. Returns what follows the body once it is whole, undefined before.
   * @throws invalid for what is no chunk, and for a body beyond the limit
   */
  push(bytes: Uint8Array): Uint8Array | undefined {
    let at = 0;
    while (this.#state !== "done" && at < bytes.length) {
      at += this.#state === "data" ? this.#data(bytes.subarray(at)) : this.#lineOf(bytes.subarray(at));
    }
    return this.#state === "done" ? bytes.subarray(at) : undefined;
  }

  /** The body without its framing. */
  bytes(): Uint8Array {
    return Buffer.concat(this.#pieces);
  }

  #data(bytes: Uint8Array): number {
    const piece = bytes.subarray(0, this.#left);
    this.#pieces.push(piece);
    this.#left -= piece.length;
    if (this.#left === 0) this.#state = "after-data";
    return piece.length;
  }

  /** Collects a line and, at its end, does what it says. */
  #lineOf(bytes: Uint8Array): number {
    const end = bytes.indexOf(NEWLINE);
    const part = end < 0 ? bytes : bytes.subarray(0, end + 1);
    if (this.#line.length + part.length > MAX_LINE_BYTES) throw malformed("header line too long");
    this.#line = Buffer.concat([this.#line, part]);
    if (end < 0) return part.length;
    const line = this.#line.toString("latin1").replace(/\r?\n$/, "");
    this.#line = Buffer.alloc(0);
    this.#next(line);
    return part.length;
  }

  #next(line: string): void {
    if (this.#state === "trailers") {
      if (line === "") this.#state = "done";
    } else if (this.#state === "after-data") {
      if (line !== "") throw malformed("malformed chunked encoding");
      this.#state = "size";
    } else {
      const size = line.replace(/;.*$/, "").trim();
      if (!/^[0-9a-fA-F]{1,16}$/.test(size)) throw malformed("invalid byte in chunk length");
      this.#left = Number.parseInt(size, 16);
      this.#sizeBytes += this.#left;
      if (this.#sizeBytes > this.#limitBytes) throw malformed(`request body too large: limit is ${this.#limitBytes} bytes`);
      this.#state = this.#left === 0 ? "trailers" : "data";
    }
  }
}

function malformed(why: string): DhowError {
  return new DhowError("invalid", `invalid JSON: ${why}`);
}
