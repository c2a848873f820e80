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
  truncateSync,
  unlinkSync,
} from "node:fs";
import { basename, dirname } from "node:path";
import { pipeline } from "node:stream/promises";
import { errnoCode, type Logger } from "../../lib/mod.ts";
import type { OutputChunk, StdStream } from "../../spec/engine/mod.ts";
import { type ClockNs, formatAttributes, formatNs, type LogDriver, type LogMark, type LogReadOptions, type LogWriter } from "./driver.ts";
import { Followers } from "./followers.ts";
import { JsonWriter, removeRotated } from "./json-writer.ts";
import { filesBytes } from "./segment.ts";

const NEWLINE = 10;
const BLOCK_BYTES = 64 * 1024;
/** What a follower may be behind before lines are missing. */
const LAG_BYTES = 16 * 1024 * 1024;

/** What was written since a follower had read everything: files may be gone before it comes to read them. */
interface Feed extends Disposable {
  chunks: Buffer[];
  bytes: number;
}

export interface JsonFileOptions {
  /** `<containerDir>/<id>-json.log`. */
  readonly path: string;
  /** -1 = no limit. */
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  readonly compress: boolean;
  /** What `--details` shows. @throws invalid for options that are none */
  readonly attributes: () => Readonly<Record<string, string>>;
  readonly clock: ClockNs;
  readonly log: Logger;
}

/** Docker's `json-file` driver: `<path>`, then `<path>.1` … older ones, `.gz` when compressed. */
export class JsonFileLog implements LogDriver {
  readonly name = "json-file";
  readonly canRead = true;
  readonly path: string;
  readonly #options: JsonFileOptions;
  readonly #followers = new Followers();
  readonly #feeds = new Set<Feed>();
  #writer: JsonWriter | undefined;
  #isCompressing = false;
  /** Counts rotations: file number n of generation g is that of generation g+1 with number n+1. */
  #generation = 0;

  constructor(options: JsonFileOptions) {
    this.#options = options;
    this.path = options.path;
  }

  prepare(): undefined {
    this.#options.attributes();
  }

  open(): LogWriter {
    const { path, maxSizeBytes, maxFiles, clock, log } = this.#options;
    const attributes = this.#options.attributes();
    const json = Object.keys(attributes).length === 0 ? "" : `"attrs":${JSON.stringify(attributes)},`;
    const onRotate = (): void => {
      this.#generation++;
      if (this.#options.compress && maxFiles > 1) {
        this.#compress().catch((error: unknown) => log.warn("rotated log can't be compressed", { path, error }));
      }
    };
    const onAppend = (entries: Buffer): void => this.#feed(entries);
    const writer = new JsonWriter({ path, maxSizeBytes, maxFiles, attributes: json, clock, log, onAppend, onRotate });
    this.#writer = writer;
    const close = writer.close.bind(writer);
    writer.close = () => {
      close();
      if (this.#writer === writer) this.#writer = undefined;
      this.#followers.wake();
    };
    return writer;
  }

  clear(): void {
    if (this.#writer !== undefined) this.#writer.clear();
    else if (existsSync(this.path)) {
      removeRotated(this.path);
      truncateSync(this.path, 0);
    }
  }

  mark(): LogMark | undefined {
    const size = statSync(this.path, { throwIfNoEntry: false })?.size;
    return size === undefined ? undefined : { segment: this.#generation, stdout: size, stderr: 0 };
  }

  read(options: LogReadOptions, before?: LogMark): AsyncIterable<OutputChunk> {
    return this.#chunks(options, before);
  }

  sizeBytes(): number {
    return filesBytes(dirname(this.path), (name) => name.startsWith(basename(this.path)));
  }

  async *#chunks(options: LogReadOptions, before: LogMark | undefined): AsyncGenerator<OutputChunk> {
    let generation = this.#generation - this.#oldest();
    let start = 0;
    if (options.tail >= 0) ({ generation, start } = await this.#findTail(options.tail));
    for (;;) {
      using file = await this.#openGeneration(generation);
      const isLast = before !== undefined && generation >= before.segment;
      const limit = isLast ? before.stdout : Number.POSITIVE_INFINITY;
      for (const entry of file === undefined ? [] : readEntries(file.fd, start, limit)) {
        if (isBehind(entry, options)) return;
        if (isWanted(entry, options)) yield { stream: entry.stream, data: format(entry, options) };
      }
      start = 0;
      if (isLast || options.signal?.aborted) return;
      // what is written from here on reaches a follower by its feed: nothing was awaited since the end of the file was seen
      if (generation < this.#generation) generation++;
      else {
        if (options.follow) yield* this.#follow(options);
        return;
      }
    }
  }

  /** What is written from now on, to a reader that has read everything. */
  async *#follow(options: LogReadOptions): AsyncGenerator<OutputChunk> {
    using feed = this.#openFeed();
    for (;;) {
      for (const chunk of feed.chunks.splice(0)) {
        feed.bytes -= chunk.length;
        for (const entry of parseEntries(chunk)) {
          if (isBehind(entry, options)) return;
          if (isWanted(entry, options)) yield { stream: entry.stream, data: format(entry, options) };
        }
      }
      if (feed.chunks.length === 0 && !(await this.#more(options.signal)) && feed.chunks.length === 0) return;
      if (options.signal?.aborted) return;
    }
  }

  #openFeed(): Feed {
    const feed: Feed = { chunks: [], bytes: 0, [Symbol.dispose]: () => this.#feeds.delete(feed) };
    this.#feeds.add(feed);
    return feed;
  }

  #feed(entries: Buffer): void {
    if (this.#feeds.size > 0) {
      const copy = Buffer.from(entries);
      for (const feed of this.#feeds) {
        feed.chunks.push(copy);
        feed.bytes += copy.length;
        // too slow: the oldest are missing there
        while (feed.bytes > LAG_BYTES) feed.bytes -= feed.chunks.shift()?.length ?? 0;
      }
    }
    this.#followers.wake();
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

  async #more(signal: AbortSignal | undefined): Promise<boolean> {
    if (this.#writer === undefined || signal?.aborted) return false;
    await this.#followers.wait(signal);
    return this.#writer !== undefined && signal?.aborted !== true;
  }
}

interface OpenFile extends Disposable {
  readonly fd: number;
}

async function openLogFile(path: string): Promise<OpenFile | undefined> {
  const wrap = (fd: number): OpenFile => ({ fd, [Symbol.dispose]: () => closeSync(fd) });
  const plain = openIfThere(path);
  if (plain !== undefined) return wrap(plain);
  // opened before anything is awaited: a rotation gives the names to other files
  const packed = openIfThere(`${path}.gz`);
  if (packed === undefined) return undefined;
  const { createGunzip } = await import("node:zlib");
  const temporary = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
  try {
    await pipeline(createReadStream("", { fd: packed, start: 0 }), createGunzip(), createWriteStream(temporary, { mode: 0o600 }));
    return wrap(openSync(temporary, "r"));
  } finally {
    rmSync(temporary, { force: true });
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, "r");
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
    return undefined;
  }
}

function isBehind(entry: Entry, { untilNs }: LogReadOptions): boolean {
  return untilNs > 0n && entry.timeNs > untilNs;
}

function isWanted(entry: Entry, options: LogReadOptions): boolean {
  return entry.timeNs >= options.sinceNs && options[entry.stream];
}

function* parseEntries(chunk: Buffer): Generator<Entry> {
  for (let begin = 0; begin < chunk.length; ) {
    const newline = chunk.indexOf(NEWLINE, begin);
    const entry = parseEntry(chunk.toString("utf8", begin, newline));
    begin = newline + 1;
    if (entry !== undefined) yield entry;
  }
}

interface Entry {
  readonly log: string;
  readonly stream: StdStream;
  readonly timeNs: bigint;
  readonly attributes: Readonly<Record<string, string>>;
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
      const entry = parseEntry(data.toString("utf8", begin, newline));
      begin = newline + 1;
      if (entry !== undefined) yield entry;
    }
    pending = data.subarray(begin);
    pendingAt += begin;
  }
}

function parseEntry(line: string): Entry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value !== "object" || value === null || !("log" in value) || !("time" in value)) return undefined;
    const attributes = "attrs" in value && typeof value.attrs === "object" ? (value.attrs as Record<string, string>) : {};
    const stream = "stream" in value && value.stream === "stderr" ? "stderr" : "stdout";
    return { log: String(value.log), stream, timeNs: parseNs(String(value.time)), attributes };
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
