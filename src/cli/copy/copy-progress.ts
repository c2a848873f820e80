import { humanSize } from "../../lib/mod.ts";
import type { Output } from "../terminal/output.ts";

const UPDATE_MS = 75;
const SAVE = "\x1b[s";
const RESTORE = "\x1b[u";
const ERASE_LINE = "\x1b[2K";
const ERASE_TAIL = "\x1b[0K";
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";

/** How much has been copied, as docker shows it: on a terminal while it goes on, in a line at the end. */
export class CopyProgress implements Disposable {
  readonly #out: Output;
  readonly #header: string;
  readonly #timer: ReturnType<typeof setInterval> | undefined;
  #bytes = 0;
  #shown = 0;

  /** @param header what stands before the number */
  constructor(out: Output, header: string) {
    this.#out = out;
    this.#header = header;
    if (!out.isTerminal) return;
    out.write(`${SAVE}Preparing to copy...${HIDE_CURSOR}${RESTORE}${ERASE_LINE}${header}${size(0)}`);
    this.#timer = setInterval(() => this.#update(), UPDATE_MS);
  }

  /** Counts what passes. */
  async *count(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of chunks) {
      this.#bytes += chunk.length;
      yield chunk;
    }
  }

  /** Takes the moving line away; again: nothing. */
  [Symbol.dispose](): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    if (this.#shown < 0) return;
    this.#shown = -1;
    this.#out.write(`${SHOW_CURSOR}${RESTORE}${ERASE_LINE}`);
  }

  /** The last line. */
  finish(destination: string): void {
    this[Symbol.dispose]();
    this.#out.write(`Successfully copied ${size(this.#bytes)} to ${destination}\n`);
  }

  #update(): void {
    if (this.#bytes === this.#shown) return;
    this.#shown = this.#bytes;
    this.#out.write(`\x1b[${this.#header.length + 1}G${ERASE_TAIL}${size(this.#bytes)}`);
  }
}

function size(bytes: number): string {
  return humanSize(bytes, 3);
}
