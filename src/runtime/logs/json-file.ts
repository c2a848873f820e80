import {
  closeSync,
  createReadStream,
  createWriteStream,
  existsSync,
  fstatSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import type { Logger } from "../../lib/mod.ts";
import type { OutputChunk, StdStream } from "../../spec/engine/mod.ts";
import { type ClockNs, formatAttributes, formatNs, type LogDriver, type LogMark, type LogReadOptions, type LogWriter } from "./driver.ts";
import { JsonWriter } from "./json-writer.ts";

const NEWLINE = 10;
const BLOCK_BYTES = 64 * 1024;

export interface JsonFileOptions {
  /** `<containerDir>/<id>-json.log`. */
  readonly path: string;
  /** -1 = no limit. */
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  readonly compress: boolean;
  readonly attributes: Readonly<Record<string, string>>;
  readonly clock: ClockNs;
  readonly log: Logger;
}

/** Docker's `json-file` driver: `<path>`, then `<path>.1` … older ones, `.gz` when compressed. */
export class JsonFileLog implements LogDriver {
  readonly name = "json-file";
  readonly canRead = true;
  readonly path: string;
  readonly #options: JsonFileOptions;
  readonly #waiting = new Set<() => void>();
  #isOpen = false;
  #isCompressing = false;
  /** Counts rotations: file number n of generation g is that of generation g+1 with number n+1. */
  #generation = 0;

  constructor(options: JsonFileOptions) {
    this.#options = options;
    this.path = options.path;
  }

  open(): LogWriter {
    const { path, maxSizeBytes, maxFiles, attributes, clock, log } = this.#options;
    const json = Object.keys(attributes).length === 0 ? "" : `"attrs":${JSON.stringify(attributes)},`;
    const onRotate = (): void => {
      this.#generation++;
      if (this.#options.compress && maxFiles > 1) {
        this.#compress().catch((error: unknown) => log.warn("rotated log can't be compressed", { path, error }));
      }
    };
    const writer = new JsonWriter({ path, maxSizeBytes, maxFiles, attributes: json, clock, log, onAppend: () => this.#wake(), onRotate });
    this.#isOpen = true;
    const close = writer.close.bind(writer);
    writer.close = () => {
      close();
      this.#isOpen = false;
      this.#wake();
    };
    return writer;
  }

  mark(): LogMark | undefined {
    const size = statSync(this.path, { throwIfNoEntry: false })?.size;
    return size === undefined ? undefined : { segment: this.#generation, stdout: size, stderr: 0 };
  }

  read(options: LogReadOptions, before?: LogMark): AsyncIterable<OutputChunk> {
    return this.#chunks(options, before);
  }

  async *#chunks(options: LogReadOptions, before: LogMark | undefined): AsyncGenerator<OutputChunk> {
    let generation = this.#generation - this.#oldest();
    let start = 0;
    if (options.tail >= 0) ({ generation, start } = await this.#findTail(options.tail));
    for (;;) {
      using file = await this.#openGeneration(generation);
      let at = start;
      start = 0;
      for (;;) {
        const isLast = before !== undefined && generation >= before.segment;
        const limit = isLast ? before.stdout : Number.POSITIVE_INFINITY;
        for (const entry of file === undefined ? [] : readEntries(file.fd, at, limit)) {
          at = entry.end;
          if (options.untilNs > 0n && entry.timeNs > options.untilNs) return;
          if (entry.timeNs >= options.sinceNs && options[entry.stream]) yield { stream: entry.stream, data: format(entry, options) };
        }
        if (isLast || options.signal?.aborted) return;
        if (generation < this.#generation) break;
        if (!options.follow) return;
        const size = file === undefined ? 0 : fstatSync(file.fd).size;
        if (size > at) continue;
        if (!(await this.#more(options.signal)) && (options.signal?.aborted || (file !== undefined && fstatSync(file.fd).size <= at)))
          return;
      }
      generation++;
    }
  }

  /** Compresses the rotated files, one at a time: a burst rotates faster than they can be compressed. */
  async #compress(): Promise<void> {
    if (this.#isCompressing) return;
    this.#isCompressing = true;
    try {
      while (await compressOldest(this.path, this.#options.maxFiles)) {
        // the next one
      }
    } finally {
      this.#isCompressing = false;
    }
  }

  /** How many rotated files there are. */
  #oldest(): number {
    const name = basename(this.path);
    let oldest = 0;
    try {
      for (const entry of readdirSync(dirname(this.path))) {
        if (!entry.startsWith(`${name}.`)) continue;
        const number = Number(/^\.(\d+)(\.gz)?$/.exec(entry.slice(name.length))?.[1] ?? 0);
        oldest = Math.max(oldest, number);
      }
    } catch {
      // nothing was ever written
    }
    return oldest;
  }

  async #openGeneration(generation: number): Promise<OpenFile | undefined> {
    const number = this.#generation - generation;
    return openLogFile(number === 0 ? this.path : `${this.path}.${number}`);
  }

  async #findTail(lines: number): Promise<{ generation: number; start: number }> {
    const newest = this.#generation;
    const oldest = newest - this.#oldest();
    let left = lines;
    for (let generation = newest; generation >= oldest; generation--) {
      using file = await this.#openGeneration(generation);
      if (file === undefined) continue;
      const found = lastLines(file.fd, left);
      if (found.left === 0) return { generation, start: found.start };
      left = found.left;
    }
    return { generation: oldest, start: 0 };
  }

  #more(signal: AbortSignal | undefined): Promise<boolean> {
    if (!this.#isOpen || signal?.aborted) return Promise.resolve(false);
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve(this.#isOpen && signal?.aborted !== true);
      };
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
    });
  }

  #wake(): void {
    if (this.#waiting.size === 0) return;
    for (const wake of [...this.#waiting]) wake();
  }
}

interface OpenFile extends Disposable {
  readonly fd: number;
}

async function openLogFile(path: string): Promise<OpenFile | undefined> {
  const wrap = (fd: number): OpenFile => ({ fd, [Symbol.dispose]: () => closeSync(fd) });
  if (existsSync(path)) return wrap(openSync(path, "r"));
  if (!existsSync(`${path}.gz`)) return undefined;
  const { createGunzip } = await import("node:zlib");
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
  try {
    await pipeline(createReadStream(`${path}.gz`), createGunzip(), createWriteStream(temporary, { mode: 0o600 }));
    return wrap(openSync(temporary, "r"));
  } finally {
    rmSync(temporary, { force: true });
  }
}

interface Entry {
  readonly log: string;
  readonly stream: StdStream;
  readonly timeNs: bigint;
  readonly attributes: Readonly<Record<string, string>>;
  /** Where the next entry begins. */
  readonly end: number;
}

function* readEntries(fd: number, from: number, limit: number): Generator<Entry> {
  let pending = Buffer.alloc(0);
  let pendingAt = from;
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  for (;;) {
    const at = pendingAt + pending.length;
    const count = readSync(fd, block, 0, Math.min(BLOCK_BYTES, Math.max(0, limit - at)), at);
    if (count === 0) return;
    const data = Buffer.concat([pending, block.subarray(0, count)]);
    let begin = 0;
    for (;;) {
      const newline = data.indexOf(NEWLINE, begin);
      if (newline < 0) break;
      const entry = parseEntry(data.toString("utf8", begin, newline), pendingAt + newline + 1);
      begin = newline + 1;
      if (entry !== undefined) yield entry;
    }
    pending = data.subarray(begin);
    pendingAt += begin;
  }
}

function parseEntry(line: string, end: number): Entry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null || !("log" in value) || !("time" in value)) return undefined;
    const attributes = "attrs" in value && typeof value.attrs === "object" ? (value.attrs as Record<string, string>) : {};
    const stream = "stream" in value && value.stream === "stderr" ? "stderr" : "stdout";
    return { log: String(value.log), stream, timeNs: parseNs(String(value.time)), attributes, end };
  } catch {
    // a line that a power failure cut
    return undefined;
  }
}

function parseNs(time: string): bigint {
  const [, whole = "", fraction = ""] = /^(.*?)(?:\.(\d+))?Z$/.exec(time) ?? [];
  return BigInt(Date.parse(`${whole}Z`)) * 1_000_000n + BigInt(fraction.padEnd(9, "0"));
}

function format(entry: Entry, options: LogReadOptions): Buffer {
  const details = options.details ? `${formatAttributes(entry.attributes)} ` : "";
  const time = options.timestamps ? `${formatNs(entry.timeNs)} ` : "";
  return Buffer.from(`${time}${details}${entry.log}`);
}

/** Where the last lines of a file begin, and how many are still missing. */
function lastLines(fd: number, lines: number): { readonly start: number; readonly left: number } {
  const size = fstatSync(fd).size;
  if (lines === 0) return { start: size, left: 0 };
  const block = Buffer.allocUnsafe(BLOCK_BYTES);
  let left = lines;
  // the newline at the very end ends the last line, it begins none
  for (let end = size - 1; end > 0; ) {
    const from = Math.max(0, end - BLOCK_BYTES);
    const data = block.subarray(0, readSync(fd, block, 0, end - from, from));
    for (let at = data.length; ; ) {
      at = at === 0 ? -1 : data.lastIndexOf(NEWLINE, at - 1);
      if (at < 0) break;
      left--;
      if (left === 0) return { start: from + at + 1, left: 0 };
    }
    end = from;
  }
  return { start: 0, left: size > 0 ? left - 1 : left };
}

/** Compresses the oldest rotated file that is not yet, which may be renamed or removed meanwhile; false when there is none. */
async function compressOldest(path: string, maxFiles: number): Promise<boolean> {
  const { createGzip } = await import("node:zlib");
  let number = maxFiles - 1;
  while (number > 0 && !existsSync(`${path}.${number}`)) number--;
  if (number === 0) return false;
  // open until the end, so that no other file gets its inode number
  const fd = openSync(`${path}.${number}`, "r");
  try {
    const { ino } = fstatSync(fd);
    const temporary = `${path}.${ino}.tmp`;
    try {
      const source = createReadStream("", { fd, autoClose: false, start: 0 });
      await pipeline(source, createGzip(), createWriteStream(temporary, { mode: 0o640 }));
      for (let now = number; now < maxFiles; now++) {
        if (statSync(`${path}.${now}`, { throwIfNoEntry: false })?.ino !== ino) continue;
        renameSync(temporary, `${path}.${now}.gz`);
        unlinkSync(`${path}.${now}`);
        break;
      }
    } finally {
      rmSync(temporary, { force: true });
    }
  } finally {
    closeSync(fd);
  }
  return true;
}
