import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { StdStream } from "../../spec/engine/mod.ts";

/** Size of one index record: `i64 timeNs, u32 stdoutEnd, u32 stderrEnd`, little endian. */
export const RECORD_BYTES = 16;

export type SegmentPart = "out" | "err" | "idx";

const NAME = /^(\d{6,})\.(out|err|idx)(\.zst)?$/;

/** The file of one part of a segment. */
export function segmentPath(dir: string, segment: number, part: SegmentPart): string {
  return join(dir, `${String(segment).padStart(6, "0")}.${part}`);
}

/** The numbers of the segments in `dir`, oldest first; none when it does not exist. */
export function listSegments(dir: string): number[] {
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch {
    return [];
  }
  const found = new Set<number>();
  for (const name of names) {
    const match = NAME.exec(name);
    if (match?.[2] === "idx") found.add(Number(match[1]));
  }
  return [...found].sort((a, b) => a - b);
}

/** Bytes of the files in `dir` whose names are chosen. */
export function filesBytes(dir: string, isChosen: (name: string) => boolean): number {
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch {
    return 0;
  }
  return names.filter(isChosen).reduce((sum, name) => sum + (statSync(join(dir, name), { throwIfNoEntry: false })?.size ?? 0), 0);
}

/** One decoded index record. */
export interface IndexRecord {
  readonly timeNs: bigint;
  readonly stdoutEnd: number;
  readonly stderrEnd: number;
}

/** Decodes the record at `at`. */
export function decodeRecord(bytes: Buffer, at: number): IndexRecord {
  return { timeNs: bytes.readBigInt64LE(at), stdoutEnd: bytes.readUInt32LE(at + 8), stderrEnd: bytes.readUInt32LE(at + 12) };
}

/** Encodes a record into `bytes` at 0. */
export function encodeRecord(bytes: Buffer, record: IndexRecord): void {
  bytes.writeBigInt64LE(record.timeNs, 0);
  bytes.writeUInt32LE(record.stdoutEnd, 8);
  bytes.writeUInt32LE(record.stderrEnd, 12);
}

/** The open files of a segment, for reading; a file that does not exist reads as empty. */
export class SegmentFiles implements Disposable {
  readonly segment: number;
  readonly #dir: string;
  readonly #fds: Record<SegmentPart, number | undefined>;

  constructor(dir: string, segment: number, fds: Partial<Record<SegmentPart, number>> = {}) {
    this.#dir = dir;
    this.segment = segment;
    this.#fds = { out: fds.out, err: fds.err, idx: fds.idx };
  }

  /** Bytes of whole records in the index. */
  indexBytes(): number {
    const fd = this.#open("idx");
    if (fd === undefined) return 0;
    const size = fstatSync(fd).size;
    return size - (size % RECORD_BYTES);
  }

  readIndex(into: Uint8Array, at: number): number {
    return this.#read("idx", into, at);
  }

  readData(stream: StdStream, into: Uint8Array, at: number): number {
    return this.#read(stream === "stdout" ? "out" : "err", into, at);
  }

  /** The last record; undefined when there is none. */
  last(): IndexRecord | undefined {
    const size = this.indexBytes();
    if (size === 0) return undefined;
    const record = Buffer.alloc(RECORD_BYTES);
    this.readIndex(record, size - RECORD_BYTES);
    return decodeRecord(record, 0);
  }

  close(): void {
    for (const part of ["out", "err", "idx"] as const) {
      const fd = this.#fds[part];
      this.#fds[part] = undefined;
      if (fd !== undefined) closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #read(part: SegmentPart, into: Uint8Array, at: number): number {
    const fd = this.#open(part);
    if (fd === undefined) return 0;
    let done = 0;
    while (done < into.length) {
      const count = readSync(fd, into, done, into.length - done, at + done);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  #open(part: SegmentPart): number | undefined {
    const open = this.#fds[part];
    if (open !== undefined) return open;
    try {
      const fd = openSync(segmentPath(this.#dir, this.segment, part), "r");
      this.#fds[part] = fd;
      return fd;
    } catch {
      return undefined;
    }
  }
}
