import { writeSync } from "node:fs";
import { errnoCode } from "../../lib/mod.ts";
import { isTerminal } from "./is-terminal.ts";

const RETRY_MS = 2;

/** One of the process's outputs. Writes are done when they return: nothing is left when the process ends. */
export class Output {
  readonly #fd: number;
  readonly isTerminal: boolean;
  #isBroken = false;

  constructor(fd: number) {
    this.#fd = fd;
    this.isTerminal = isTerminal(fd);
  }

  /** Writes text; blocks. After the reader is gone it does nothing. */
  write(text: string | Uint8Array): void {
    let bytes: Uint8Array = typeof text === "string" ? Buffer.from(text) : text;
    while (bytes.length > 0) {
      const written = this.#try(bytes);
      if (written === undefined) Bun.sleepSync(RETRY_MS);
      else bytes = bytes.subarray(written);
    }
  }

  /** As `write`, but lets other work go on while a pipe is full. */
  async writeSoon(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      const written = this.#try(rest);
      if (written === undefined) await Bun.sleep(RETRY_MS);
      else rest = rest.subarray(written);
    }
  }

  #try(bytes: Uint8Array): number | undefined {
    if (this.#isBroken) return bytes.length;
    try {
      return writeSync(this.#fd, bytes);
    } catch (error) {
      const code = errnoCode(error);
      if (code === "EAGAIN" || code === "EINTR") return undefined;
      if (code === "EPIPE") process.exit(141);
      this.#isBroken = true;
      return bytes.length;
    }
  }

  /** The terminal's size; undefined when it is none. */
  get size(): { readonly rows: number; readonly columns: number } | undefined {
    if (!this.isTerminal) return undefined;
    const stream = this.#fd === 1 ? process.stdout : process.stderr;
    const { columns, rows } = stream;
    return columns > 0 ? { rows, columns } : undefined;
  }
}
