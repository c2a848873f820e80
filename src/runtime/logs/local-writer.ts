import { closeSync, existsSync, fstatSync, mkdirSync, openSync, readSync, statSync, unlinkSync, writeSync } from "node:fs";
import { errnoCode, type Logger } from "../../lib/mod.ts";
import { fionread, ftruncate, O_CREAT, O_RDWR, pread, read, SPLICE_F_NONBLOCK, splice } from "../../linux/mod.ts";
import type { StdStream } from "../../spec/engine/mod.ts";
import type { ClockNs, LogMark, LogWriter } from "./driver.ts";
import { decodeRecord, encodeRecord, listSegments, RECORD_BYTES, segmentPath } from "./segment.ts";

// ends of streams are stored in 32 bits
const SEGMENT_LIMIT = 0x8000_0000;
const RETRY_MS = 1000;
const SCRATCH_BYTES = 64 * 1024;

export interface LocalWriterOptions {
  readonly dir: string;
  /** Bytes of one segment, index included; none becomes larger (but for limits of a few bytes). */
  readonly maxSizeBytes: number;
  readonly maxFiles: number;
  readonly clock: ClockNs;
  readonly log: Logger;
  /** Called when something was added. */
  readonly onAppend: (bytes: number) => void;
  /** Called after `segment` was closed for good. */
  readonly onRotate: (segment: number) => void;
  /** The oldest segment that a reader still needs, whatever `maxFiles` says. */
  readonly neededFrom: () => number;
  /** The segment with which the log begins since it was cleared. */
  readonly firstSegment: () => number;
}

/**
 * Writes the segments of the local driver (see local.ts for the layout). Bytes go from the pipe into the page cache without
 * passing through this process; then one index record makes them part of the log.
 */
export class LocalWriter implements LogWriter {
  readonly #options: LocalWriterOptions;
  readonly #maxSize: number;
  readonly #record = Buffer.alloc(RECORD_BYTES);
  #scratch: Uint8Array | undefined;
  /** 0 while nothing was ever written. */
  #segment = 0;
  #out = -1;
  #err = -1;
  #idx = -1;
  #outEnd = 0;
  #errEnd = 0;
  #idxEnd = 0;
  #fullUntilMs = 0;
  #hasWarned = false;
  readonly isFull = false;

  constructor(options: LocalWriterOptions) {
    this.#options = options;
    this.#maxSize = Math.min(options.maxSizeBytes, SEGMENT_LIMIT);
    // many containers write nothing: their log makes no files
    if (existsSync(options.dir)) this.#openLast();
  }

  get mark(): LogMark {
    return { segment: this.#segment, stdout: this.#outEnd, stderr: this.#errEnd };
  }

  pump(pipe: number, stream: StdStream, length: number, into: Uint8Array | null): number {
    if (this.#fullUntilMs > 0 && this.#isDiskFull()) return this.#drop(pipe, length, into);
    if (this.#segment === 0 && fionread(pipe) === 0) return -1;
    let fd: number;
    let end: number;
    let count: number;
    try {
      fd = this.#dataFd(stream);
      end = stream === "stdout" ? this.#outEnd : this.#errEnd;
      count = splice(pipe, fd, end, Math.min(length, into?.length ?? length, this.#room), SPLICE_F_NONBLOCK);
    } catch (error) {
      this.#noSpace(error);
      return this.#drop(pipe, length, into);
    }
    if (count <= 0) return count;
    if (into !== null) pread(fd, into.subarray(0, count), end);
    this.#commit(stream, count);
    return count;
  }

  append(stream: StdStream, data: Uint8Array): void {
    for (let at = 0; at < data.length; ) {
      if (this.#fullUntilMs > 0 && this.#isDiskFull()) return;
      let count: number;
      try {
        const fd = this.#dataFd(stream);
        const end = stream === "stdout" ? this.#outEnd : this.#errEnd;
        count = Math.min(data.length - at, this.#room);
        for (let done = 0; done < count; ) done += writeSync(fd, data, at + done, count - done, end + done);
      } catch (error) {
        this.#noSpace(error);
        return;
      }
      this.#commit(stream, count);
      at += count;
    }
  }

  finish(): void {
    // nothing is held back
  }

  close(): void {
    for (const fd of [this.#out, this.#err, this.#idx]) if (fd >= 0) closeSync(fd);
    this.#out = -1;
    this.#err = -1;
    this.#idx = -1;
  }

  /** How many bytes the segment takes until it is full; at least one, so that a tiny limit holds up nothing. */
  get #room(): number {
    return Math.max(1, this.#maxSize - this.#outEnd - this.#errEnd - this.#idxEnd - RECORD_BYTES);
  }

  #commit(stream: StdStream, count: number, timeNs = this.#options.clock()): void {
    const stdoutEnd = this.#outEnd + (stream === "stdout" ? count : 0);
    const stderrEnd = this.#errEnd + (stream === "stderr" ? count : 0);
    encodeRecord(this.#record, { timeNs, stdoutEnd, stderrEnd });
    try {
      writeSync(this.#idx, this.#record, 0, RECORD_BYTES, this.#idxEnd);
    } catch (error) {
      // without its record the data counts as not written: the next bytes take its place
      this.#noSpace(error);
      return;
    }
    this.#outEnd = stdoutEnd;
    this.#errEnd = stderrEnd;
    this.#idxEnd += RECORD_BYTES;
    if (stdoutEnd + stderrEnd + this.#idxEnd >= this.#maxSize) this.#rotate();
    this.#options.onAppend(count);
  }

  #dataFd(stream: StdStream): number {
    if (this.#segment === 0) this.#openLast();
    if (stream === "stdout") {
      if (this.#out < 0) this.#out = openSync(segmentPath(this.#options.dir, this.#segment, "out"), O_RDWR | O_CREAT, 0o600);
      return this.#out;
    }
    if (this.#err < 0) this.#err = openSync(segmentPath(this.#options.dir, this.#segment, "err"), O_RDWR | O_CREAT, 0o600);
    return this.#err;
  }

  #openLast(): void {
    mkdirSync(this.#options.dir, { recursive: true, mode: 0o700 });
    const segment = listSegments(this.#options.dir).at(-1) ?? 1;
    this.#idx = openSync(segmentPath(this.#options.dir, segment, "idx"), O_RDWR | O_CREAT, 0o600);
    this.#segment = segment;
    this.#repair();
  }

  #rotate(): void {
    const closed = this.#segment;
    try {
      const next = openSync(segmentPath(this.#options.dir, closed + 1, "idx"), O_RDWR | O_CREAT, 0o600);
      this.close();
      this.#segment = closed + 1;
      this.#idx = next;
      this.#outEnd = 0;
      this.#errEnd = 0;
      this.#idxEnd = 0;
    } catch (error) {
      this.#noSpace(error);
      return;
    }
    this.prune();
    this.#options.onRotate(closed);
  }

  /** Deletes the segments that are too many. */
  prune(): void {
    const { dir, maxFiles, firstSegment, neededFrom } = this.#options;
    const keptFrom = Math.min(Math.max(this.#segment - maxFiles + 1, firstSegment()), neededFrom());
    for (const old of listSegments(dir)) if (old < keptFrom) removeSegment(dir, old);
  }

  /** Begins a new segment, so that all before it can go; returns its number. */
  startSegment(): number {
    if (this.#segment === 0) this.#openLast();
    if (this.#idxEnd > 0) this.#rotate();
    return this.#segment;
  }

  /** Makes what a killed writer left whole: data without a record gets one, a record without its data (power failure) is cut. */
  #repair(): void {
    let size = fstatSync(this.#idx).size;
    size -= size % RECORD_BYTES;
    const out = this.#stat("out");
    const err = this.#stat("err");
    const outSize = out?.size ?? 0;
    const errSize = err?.size ?? 0;
    while (size > 0) {
      readSync(this.#idx, this.#record, 0, RECORD_BYTES, size - RECORD_BYTES);
      const last = decodeRecord(this.#record, 0);
      this.#outEnd = last.stdoutEnd;
      this.#errEnd = last.stderrEnd;
      if (last.stdoutEnd <= outSize && last.stderrEnd <= errSize) break;
      size -= RECORD_BYTES;
      this.#outEnd = 0;
      this.#errEnd = 0;
    }
    ftruncate(this.#idx, size);
    this.#idxEnd = size;
    if (out !== undefined && outSize > this.#outEnd) this.#commit("stdout", outSize - this.#outEnd, out.mtimeNs);
    if (err !== undefined && errSize > this.#errEnd) this.#commit("stderr", errSize - this.#errEnd, err.mtimeNs);
  }

  #stat(part: "out" | "err"): { readonly size: number; readonly mtimeNs: bigint } | undefined {
    const stat = statSync(segmentPath(this.#options.dir, this.#segment, part), { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? undefined : { size: Number(stat.size), mtimeNs: stat.mtimeNs };
  }

  #isDiskFull(): boolean {
    if (Date.now() < this.#fullUntilMs) return true;
    this.#fullUntilMs = 0;
    return false;
  }

  #noSpace(error: unknown): void {
    const code = errnoCode(error);
    if (code !== "ENOSPC" && code !== "EDQUOT" && code !== "EIO" && code !== "EROFS" && code !== "EFBIG") throw error;
    this.#fullUntilMs = Date.now() + RETRY_MS;
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    this.#options.log.warn("container log can't be written, output is dropped from it", { dir: this.#options.dir, error });
  }

  #drop(pipe: number, length: number, into: Uint8Array | null): number {
    this.#scratch ??= new Uint8Array(SCRATCH_BYTES);
    const buffer = into ?? this.#scratch;
    return read(pipe, buffer, Math.min(length, buffer.length));
  }
}

/** Deletes all files of a segment. */
export function removeSegment(dir: string, segment: number): void {
  for (const part of ["out", "err", "idx"] as const) {
    for (const suffix of ["", ".zst"]) {
      try {
        unlinkSync(segmentPath(dir, segment, part) + suffix);
      } catch {
        // most have no compressed form
      }
    }
  }
}
