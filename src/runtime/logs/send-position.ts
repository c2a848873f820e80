import { closeSync, mkdirSync, openSync, readFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { O_CREAT, O_WRONLY } from "../../linux/mod.ts";
import type { StdStream } from "../../spec/engine/mod.ts";
import { BEGINNING, type StartPosition } from "./local-position.ts";

const BYTES = 32;

/**
 * How far a log has been sent, in a file of 32 bytes beside its segments: for stdout, then for stderr, `u64 segment, u64 offset`,
 * little endian. It is written after the messages were handed over: a daemon that is killed in between sends them again.
 */
export class SendPosition implements Disposable {
  readonly #path: string;
  readonly #bytes = Buffer.alloc(BYTES);
  #fd = -1;

  constructor(path: string) {
    this.#path = path;
    try {
      readFileSync(path).copy(this.#bytes, 0, 0, BYTES);
    } catch {
      // nothing was sent yet
    }
  }

  /** What was not sent yet begins here. */
  get start(): StartPosition {
    const read = (at: number) => ({ segment: Number(this.#bytes.readBigUInt64LE(at)), at: Number(this.#bytes.readBigUInt64LE(at + 8)) });
    const [stdout, stderr] = [read(0), read(16)];
    return stdout.segment === 0 && stderr.segment === 0 ? BEGINNING : { stdout, stderr };
  }

  /** Notes in memory that a stream was sent up to here. */
  advance(stream: StdStream, segment: number, end: number): void {
    const at = stream === "stdout" ? 0 : 16;
    this.#bytes.writeBigUInt64LE(BigInt(segment), at);
    this.#bytes.writeBigUInt64LE(BigInt(end), at + 8);
  }

  /** Writes it down. A full disk is no reason to stop: after a kill more would be sent again. */
  save(): void {
    try {
      if (this.#fd < 0) {
        mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
        this.#fd = openSync(this.#path, O_WRONLY | O_CREAT, 0o600);
      }
      writeSync(this.#fd, this.#bytes, 0, BYTES, 0);
    } catch {
      // tried again with the next messages
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }
}
