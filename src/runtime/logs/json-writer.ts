import { closeSync, mkdirSync, openSync, renameSync, rmSync, statSync, unlinkSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { errnoCode, type Logger } from "../../lib/mod.ts";
import { mkfifo, O_NONBLOCK, O_RDWR, read, SPLICE_F_NONBLOCK, setPipeSize, splice, tee } from "../../linux/mod.ts";
import type { StdStream } from "../../spec/engine/mod.ts";
import { type ClockNs, formatNs, type LogWriter } from "./driver.ts";

/** A line longer than this becomes several entries, all but the last without a newline. */
export const PARTIAL_BYTES = 16 * 1024;
const NEWLINE = 10;
const PEEK_BYTES = 128 * 1024;

export interface JsonWriterOptions {
  readonly path: string;
  /** -1 = no limit. */
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  /** The finished `"attrs":{…},` part of each line, or nothing. */
  readonly attributes: string;
  readonly clock: ClockNs;
  readonly log: Logger;
  readonly onAppend: () => void;
  /** Called after the current file became `.1`. */
  readonly onRotate: () => void;
}

/**
 * Writes docker's JSON lines. Bytes are looked at with tee(2) and leave the pipe only when their entry is in the file: a daemon that
 * is killed loses nothing, and writes at most what one turn held twice. An unfinished line stays in the pipe until it is 16 KiB long.
 */
export class JsonWriter implements LogWriter {
  readonly #options: JsonWriterOptions;
  readonly #buffer = Buffer.allocUnsafeSlow(PEEK_BYTES);
  readonly #seen: Record<StdStream, number> = { stdout: 0, stderr: 0 };
  readonly #partial: Record<StdStream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  readonly #scratch: number;
  readonly #sink: number;
  #file: number;
  #size: number;
  #hasWarned = false;

  constructor(options: JsonWriterOptions) {
    this.#options = options;
    mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 });
    this.#file = openSync(options.path, "a", 0o640);
    this.#size = statSync(options.path).size;
    this.#scratch = openScratchPipe(`${options.path}.${process.pid}.pipe`);
    this.#sink = openSync("/dev/null", "w");
  }

  pump(pipe: number, stream: StdStream, length: number, into: Uint8Array | null): number {
    const seen = this.#seen[stream];
    const count = this.#peek(pipe, Math.min(PEEK_BYTES, seen + Math.min(length, into?.length ?? length)));
    if (count <= 0) return count;
    if (count <= seen) return -1;
    into?.set(this.#buffer.subarray(seen, count));
    const taken = this.#writeEntries(stream, this.#buffer.subarray(0, count));
    consume(pipe, this.#sink, taken);
    this.#seen[stream] = count - taken;
    return count - seen;
  }

  append(stream: StdStream, data: Uint8Array): void {
    const whole = Buffer.concat([this.#partial[stream], data]);
    const taken = this.#writeEntries(stream, whole);
    this.#partial[stream] = Buffer.from(whole.subarray(taken));
  }

  finish(pipe: number, stream: StdStream): void {
    const count = this.#peek(pipe, PEEK_BYTES);
    if (count <= 0) return;
    this.#write(this.#entry(stream, this.#buffer.subarray(0, count)));
    consume(pipe, this.#sink, count);
    this.#seen[stream] = 0;
  }

  close(): void {
    for (const stream of ["stdout", "stderr"] as const) {
      if (this.#partial[stream].length > 0) this.#write(this.#entry(stream, this.#partial[stream]));
      this.#partial[stream] = Buffer.alloc(0);
    }
    for (const fd of [this.#file, this.#scratch, this.#sink]) closeSync(fd);
  }

  #peek(pipe: number, length: number): number {
    const count = tee(pipe, this.#scratch, length, SPLICE_F_NONBLOCK);
    if (count <= 0) return count;
    for (let done = 0; done < count; ) done += Math.max(0, read(this.#scratch, this.#buffer.subarray(done, count)));
    return count;
  }

  /** Writes the finished lines of `data` and returns how many bytes they were. */
  #writeEntries(stream: StdStream, data: Buffer): number {
    let text = "";
    let at = 0;
    for (;;) {
      const newline = data.indexOf(NEWLINE, at);
      let end = newline + 1;
      if (newline < 0 || end - at > PARTIAL_BYTES) {
        if (data.length - at < PARTIAL_BYTES) break;
        end = at + PARTIAL_BYTES;
      }
      text += this.#entry(stream, data.subarray(at, end));
      at = end;
    }
    if (text !== "") this.#write(text);
    return at;
  }

  #entry(stream: StdStream, data: Uint8Array): string {
    const line = escapeLikeDocker(JSON.stringify(Buffer.from(data.buffer, data.byteOffset, data.length).toString()));
    return `{"log":${line},"stream":"${stream}",${this.#options.attributes}"time":"${shortNs(this.#options.clock())}"}\n`;
  }

  #write(text: string): void {
    const data = Buffer.from(text);
    const { maxSizeBytes } = this.#options;
    try {
      if (maxSizeBytes > 0 && this.#size >= maxSizeBytes) this.#rotate();
      for (let done = 0; done < data.length; ) done += writeSync(this.#file, data, done);
      this.#size += data.length;
      this.#options.onAppend();
    } catch (error) {
      const code = errnoCode(error);
      if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EIO" && code !== "EROFS") throw error;
      if (this.#hasWarned) return;
      this.#hasWarned = true;
      this.#options.log.warn("container log can't be written, output is dropped from it", { path: this.#options.path, error });
    }
  }

  #rotate(): void {
    const { path, maxFiles, onRotate } = this.#options;
    closeSync(this.#file);
    if (maxFiles > 1) {
      for (const suffix of ["", ".gz"]) rmSync(`${path}.${maxFiles - 1}${suffix}`, { force: true });
      for (let i = maxFiles - 2; i >= 1; i--) {
        for (const suffix of ["", ".gz"]) moveIfThere(`${path}.${i}${suffix}`, `${path}.${i + 1}${suffix}`);
      }
      moveIfThere(path, `${path}.1`);
    } else rmSync(path, { force: true });
    this.#file = openSync(path, "a", 0o640);
    this.#size = 0;
    onRotate();
  }
}

function moveIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
}

function openScratchPipe(path: string): number {
  rmSync(path, { force: true });
  mkfifo(path);
  try {
    const fd = openSync(path, O_RDWR | O_NONBLOCK);
    try {
      setPipeSize(fd, PEEK_BYTES * 2);
    } catch {
      // less is peeked at a time then
    }
    return fd;
  } finally {
    unlinkSync(path);
  }
}

function consume(pipe: number, sink: number, length: number): void {
  for (let left = length; left > 0; ) {
    const count = splice(pipe, sink, null, left, SPLICE_F_NONBLOCK);
    if (count <= 0) return;
    left -= count;
  }
}

/** The time as Go's RFC3339Nano: without trailing zeros. */
function shortNs(ns: bigint): string {
  return formatNs(ns).replace(/\.?0+Z$/, "Z");
}

const HEX: Readonly<Record<string, string>> = {
  "\\t": "\\u0009",
  "\\b": "\\u0008",
  "\\f": "\\u000c",
  "<": "\\u003c",
  ">": "\\u003e",
  "&": "\\u0026",
  "\u2028": "\\u2028",
  "\u2029": "\\u2029",
};

/** Escapes what docker's encoder escapes beyond JSON's needs. */
function escapeLikeDocker(json: string): string {
  return json.replace(/\\[\\tbf"]|[<>&\u2028\u2029]/g, (found) => HEX[found] ?? found);
}
