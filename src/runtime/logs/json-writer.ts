import { closeSync, fstatSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, unlinkSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { errnoCode, type Logger } from "../../lib/mod.ts";
import { ftruncate, mkfifo, O_NONBLOCK, O_RDWR, pread, read, SPLICE_F_NONBLOCK, setPipeSize, splice, tee } from "../../linux/mod.ts";
import type { StdStream } from "../../spec/engine/mod.ts";
import { type ClockNs, formatNs, type LogWriter } from "./driver.ts";
import { escapeInto, MAX_ESCAPED_BYTES } from "./json-encode.ts";

/** A line longer than this becomes several entries, all but the last without a newline. */
export const PARTIAL_BYTES = 16 * 1024;
const NEWLINE = 10;
const PEEK_BYTES = 128 * 1024;
const OUT_BYTES = 512 * 1024;
const NOTHING = Buffer.alloc(0);
const NO_TURN = 2n ** 64n - 1n;
const PREFIX = Buffer.from('{"log":"');

// a turn uses them from its begin to its end, so all writers share them
let peekBuffer: Buffer | undefined;
let outBuffer: Buffer | undefined;

export interface JsonWriterOptions {
  readonly path: string;
  /** The size from which on the next entry goes to a new file; so a file exceeds it by less than one entry. -1 = no limit. */
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  /** The finished `"attrs":{…},` part of each line, or nothing. */
  readonly attributes: string;
  readonly clock: ClockNs;
  readonly log: Logger;
  /** Called with whole entries that were written; the bytes are used again after the call. */
  readonly onAppend: (entries: Buffer) => void;
  /** Called after the current file became `.1`, or was cleared. */
  readonly onRotate: () => void;
}

/**
 * Writes docker's JSON lines. Bytes are looked at with tee(2) and leave the pipe only when their entry is in the file: a daemon that
 * is killed loses nothing. That it writes nothing twice is for `<path>.turn`: while entries are written whose bytes are still in the
 * pipe, it says where in the file they begin, and the next writer takes those out of the pipe that it finds there.
 * An unfinished line stays in the pipe until it is 16 KiB long.
 */
export class JsonWriter implements LogWriter {
  readonly #options: JsonWriterOptions;
  readonly #seen: Record<StdStream, number> = { stdout: 0, stderr: 0 };
  readonly #partial: Record<StdStream, Buffer> = { stdout: NOTHING, stderr: NOTHING };
  readonly #scratch: number;
  readonly #sink: number;
  readonly #turn: TurnMark;
  /** What a killed writer wrote and left in a pipe. */
  #written: Written | undefined;
  #file: number;
  #size: number;
  #hasWarned = false;
  readonly isFull = false;

  constructor(options: JsonWriterOptions) {
    this.#options = options;
    mkdirSync(dirname(options.path), { recursive: true, mode: 0o700 });
    this.#file = openSync(options.path, "a+", 0o640);
    this.#size = cutTornEntry(this.#file);
    this.#turn = new TurnMark(`${options.path}.turn`);
    this.#written = findWritten(this.#file, this.#size, this.#turn.former);
    this.#scratch = openScratchPipe(`${options.path}.${process.pid}.pipe`);
    this.#sink = openSync("/dev/null", "w");
  }

  pump(pipe: number, stream: StdStream, length: number, into: Uint8Array | null): number {
    if (this.#written?.stream === stream) this.#takeWritten(pipe, this.#written);
    const seen = this.#seen[stream];
    const data = this.#peek(pipe, Math.min(PEEK_BYTES, seen + Math.min(length, into?.length ?? length)));
    if (typeof data === "number") return data;
    const count = data.length;
    if (count <= seen) return -1;
    into?.set(data.subarray(seen));
    this.#turn.begin(this.#size, 0);
    const taken = this.#writeEntries(stream, data, false);
    consume(pipe, this.#sink, taken);
    this.#turn.end();
    this.#seen[stream] = count - taken;
    return count - seen;
  }

  append(stream: StdStream, data: Uint8Array): void {
    const partial = this.#partial[stream];
    const whole = partial.length > 0 ? Buffer.concat([partial, data]) : Buffer.from(data.buffer, data.byteOffset, data.length);
    const taken = this.#writeEntries(stream, whole, false);
    // a copy: the caller uses its buffer again
    this.#partial[stream] = taken < whole.length ? Buffer.from(whole.subarray(taken)) : NOTHING;
  }

  finish(pipe: number, stream: StdStream): void {
    if (this.#written?.stream === stream) this.#takeWritten(pipe, this.#written);
    const data = this.#peek(pipe, PEEK_BYTES);
    if (typeof data === "number") return;
    this.#turn.begin(this.#size, 0);
    this.#writeEntries(stream, data, true);
    consume(pipe, this.#sink, data.length);
    this.#turn.end();
    this.#seen[stream] = 0;
  }

  close(): void {
    for (const stream of ["stdout", "stderr"] as const) {
      this.#writeEntries(stream, this.#partial[stream], true);
      this.#partial[stream] = NOTHING;
    }
    for (const fd of [this.#file, this.#scratch, this.#sink]) closeSync(fd);
    this.#turn[Symbol.dispose]();
  }

  #takeWritten(pipe: number, { bytes, earlierBytes }: Written): void {
    this.#written = undefined;
    const data = this.#peek(pipe, PEEK_BYTES);
    const length = earlierBytes + bytes.length;
    if (typeof data === "number" || data.length < length || !data.subarray(earlierBytes, length).equals(bytes)) return;
    consume(pipe, this.#sink, length);
  }

  /** What is in the pipe, without taking it; what tee(2) says when that is nothing. */
  #peek(pipe: number, length: number): Buffer | number {
    const count = tee(pipe, this.#scratch, length, SPLICE_F_NONBLOCK);
    if (count <= 0) return count;
    peekBuffer ??= Buffer.allocUnsafeSlow(PEEK_BYTES);
    for (let done = 0; done < count; ) done += Math.max(0, read(this.#scratch, peekBuffer.subarray(done, count)));
    return peekBuffer.subarray(0, count);
  }

  /** Writes the finished lines of `data`, with `isEnd` also an unfinished last one, and returns how many bytes they were. */
  #writeEntries(stream: StdStream, data: Buffer, isEnd: boolean): number {
    if (data.length === 0) return 0;
    const { maxSizeBytes, attributes, clock } = this.#options;
    // these bytes came together: one time for all of them
    let suffix: Buffer | undefined;
    outBuffer ??= Buffer.allocUnsafeSlow(OUT_BYTES);
    let room = 0;
    let filled = 0;
    let at = 0;
    while (at < data.length) {
      const newline = data.indexOf(NEWLINE, at);
      let end = newline + 1;
      if (newline < 0 || end - at > PARTIAL_BYTES) {
        if (data.length - at < PARTIAL_BYTES && !isEnd) break;
        end = Math.min(data.length, at + PARTIAL_BYTES);
      }
      if (suffix === undefined) {
        suffix = Buffer.from(`","stream":"${stream}",${attributes}"time":"${shortNs(clock())}"}\n`);
        room = PREFIX.length + PARTIAL_BYTES * MAX_ESCAPED_BYTES + suffix.length;
        // attributes have no limit
        if (room > outBuffer.length) outBuffer = Buffer.allocUnsafeSlow(room);
      }
      const isFull = maxSizeBytes > 0 && this.#size + filled >= maxSizeBytes;
      if (isFull || outBuffer.length - filled < room) {
        this.#write(outBuffer, filled);
        filled = 0;
        if (isFull) this.#rotate();
        if (isFull && this.#turn.isOn) this.#turn.begin(this.#size, at);
      }
      outBuffer.set(PREFIX, filled);
      filled = escapeInto(data, at, end, outBuffer, filled + PREFIX.length);
      outBuffer.set(suffix, filled);
      filled += suffix.length;
      at = end;
    }
    if (suffix === undefined) return 0;
    this.#write(outBuffer, filled);
    return at;
  }

  #write(data: Buffer, length: number): void {
    let done = 0;
    try {
      while (done < length) done += writeSync(this.#file, data, done, length - done);
      this.#size += length;
      if (length > 0) this.#options.onAppend(data.subarray(0, length));
    } catch (error) {
      // half an entry would spoil the next one
      const whole = done === 0 ? 0 : data.lastIndexOf(NEWLINE, done - 1) + 1;
      this.#size += whole;
      ftruncate(this.#file, this.#size);
      if (whole > 0) this.#options.onAppend(data.subarray(0, whole));
      this.#warn(error);
    }
  }

  /** The current file becomes `.1`. When that can't be done it goes on growing. */
  #rotate(): void {
    // nothing of it could be written: there is nothing to put aside
    if (this.#size === 0) return;
    const { path, maxFiles, onRotate } = this.#options;
    try {
      if (maxFiles > 1) {
        for (const suffix of ["", ".gz"]) rmSync(`${path}.${maxFiles - 1}${suffix}`, { force: true });
        for (let i = maxFiles - 2; i >= 1; i--) {
          for (const suffix of ["", ".gz"]) moveIfThere(`${path}.${i}${suffix}`, `${path}.${i + 1}${suffix}`);
        }
        moveIfThere(path, `${path}.1`);
      } else rmSync(path, { force: true });
      this.#openNext();
    } catch (error) {
      this.#warn(error);
      return;
    }
    onRotate();
  }

  #openNext(): void {
    const next = openSync(this.#options.path, "a+", 0o640);
    closeSync(this.#file);
    this.#file = next;
    this.#size = 0;
  }

  /** Deletes all files, the oldest first, and begins again with an empty one. */
  clear(): void {
    const { path, onRotate } = this.#options;
    removeRotated(path);
    rmSync(path, { force: true });
    this.#openNext();
    onRotate();
  }

  #warn(error: unknown): void {
    const code = errnoCode(error);
    if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EIO" && code !== "EROFS") throw error;
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#options.log.warn("container log can't be written, output is dropped from it", { path: this.#options.path, error });
  }
}

/** Entries that a killed writer wrote while their bytes were in a pipe. */
interface Written {
  readonly stream: StdStream;
  readonly bytes: Buffer;
  /** Bytes of the pipe before these, which went to the file that was current before. */
  readonly earlierBytes: number;
}

interface Turn {
  /** Where in the file the turn's first entry begins. */
  readonly start: number;
  readonly earlierBytes: number;
}

/** A file of 16 bytes that says which turn is under way: `start`, `earlierBytes`, little endian; all ones when there is none. */
class TurnMark implements Disposable {
  /** The turn during which a writer was killed. */
  readonly former: Turn | undefined;
  readonly #path: string;
  readonly #fd: number;
  readonly #bytes = Buffer.alloc(16, 0xff);
  isOn = false;

  constructor(path: string) {
    this.#path = path;
    this.#fd = openSync(path, "a+", 0o600);
    closeSync(this.#fd);
    this.#fd = openSync(path, "r+");
    const found = Buffer.alloc(16, 0xff);
    const start = pread(this.#fd, found, 0) === 16 ? found.readBigUInt64LE(0) : NO_TURN;
    if (start !== NO_TURN) this.former = { start: Number(start), earlierBytes: Number(found.readBigUInt64LE(8)) };
    this.end();
  }

  begin(start: number, earlierBytes: number): void {
    this.isOn = true;
    this.#bytes.writeBigUInt64LE(BigInt(start), 0);
    this.#bytes.writeBigUInt64LE(BigInt(earlierBytes), 8);
    this.#write();
  }

  end(): void {
    this.isOn = false;
    this.#bytes.fill(0xff);
    this.#write();
  }

  #write(): void {
    try {
      writeSync(this.#fd, this.#bytes, 0, 16, 0);
    } catch {
      // a full disk: a kill right now would write a few lines twice
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    rmSync(this.#path, { force: true });
  }
}

/** The entries of a turn that was cut short. */
function findWritten(file: number, size: number, turn: Turn | undefined): Written | undefined {
  if (turn === undefined || size < turn.start) return undefined;
  const tail = Buffer.alloc(size - turn.start);
  pread(file, tail, turn.start);
  let stream: StdStream | undefined;
  const parts: Buffer[] = [];
  try {
    for (const line of tail.toString().split("\n")) {
      if (line === "") continue;
      const entry = JSON.parse(line) as { readonly log: string; readonly stream: StdStream };
      stream = entry.stream;
      parts.push(Buffer.from(entry.log));
    }
  } catch {
    // a power cut spoilt them
    return undefined;
  }
  return stream === undefined ? undefined : { stream, bytes: Buffer.concat(parts), earlierBytes: turn.earlierBytes };
}

/**
 * Cuts off the half entry that a killed writer left and returns the file's size; its bytes are still in the pipe.
 */
function cutTornEntry(file: number): number {
  const { size } = fstatSync(file);
  if (size === 0) return 0;
  const last = Buffer.alloc(1);
  if (pread(file, last, size - 1) === 1 && last[0] === NEWLINE) return size;
  const tail = Buffer.allocUnsafe(Math.min(size, OUT_BYTES));
  const count = pread(file, tail, size - tail.length);
  const newline = tail.subarray(0, count).lastIndexOf(NEWLINE);
  if (newline < 0 && tail.length < size) return size;
  const whole = size - tail.length + newline + 1;
  ftruncate(file, whole);
  return whole;
}

/** Deletes the rotated files of a log, the oldest first. */
export function removeRotated(path: string): void {
  const name = `${basename(path)}.`;
  const rotated = readdirSync(dirname(path)).filter((entry) => entry.startsWith(name) && /^\d+(\.gz)?$/.test(entry.slice(name.length)));
  const number = (entry: string): number => Number.parseInt(entry.slice(name.length), 10);
  for (const entry of rotated.sort((a, b) => number(b) - number(a))) rmSync(join(dirname(path), entry), { force: true });
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
