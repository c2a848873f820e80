import { closeSync, fstatSync, mkdirSync, openSync, read, readSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { errnoCode, type Logger } from "../../lib/mod.ts";
import type { AuditOptions, AuditRecord } from "../../spec/engine/mod.ts";

const SEGMENT_BYTES = 4 << 20;
const readAt = promisify(read);

/**
 * What came through a scoped socket: `<file>`, one JSON object a line, and `<file>.1`, the segment before. A record is one write(2), so
 * that it survives the daemon; nothing of a request's body, query or headers is in it.
 */
export class AuditLog implements Disposable {
  readonly #path: string;
  readonly #log: Logger;
  readonly #segmentBytes: number;
  readonly #followers = new Set<(record: AuditRecord) => void>();
  #fd: number;
  #size: number;
  /** The last line has no end: the next one must not become a part of it. */
  #isBroken: boolean;
  #isFailing = false;

  constructor(path: string, { log, segmentBytes = SEGMENT_BYTES }: { readonly log: Logger; readonly segmentBytes?: number }) {
    this.#path = path;
    this.#log = log;
    this.#segmentBytes = segmentBytes;
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    this.#fd = openSync(path, "a+", 0o600);
    this.#size = fstatSync(this.#fd).size;
    const last = Buffer.alloc(1);
    this.#isBroken = this.#size > 0 && readSync(this.#fd, last, 0, 1, this.#size - 1) === 1 && last.toString() !== "\n";
  }

  /** Adds a record. One that a full disk does not take is said in the daemon's log. */
  append(record: AuditRecord): void {
    const line = Buffer.from(`${this.#isBroken ? "\n" : ""}${JSON.stringify(record)}\n`);
    try {
      if (this.#size > 0 && this.#size + line.length > this.#segmentBytes) this.#rotate();
      const written = writeSync(this.#fd, line);
      this.#size += written;
      this.#isBroken = written < line.length;
      if (this.#isBroken) throw new Error("no space left");
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing) this.#log.error("what came through a socket can't be recorded", { path: this.#path, error });
      this.#isFailing = true;
    }
    for (const follow of this.#followers) follow(record);
  }

  #rotate(): void {
    renameSync(this.#path, `${this.#path}.1`);
    const former = this.#fd;
    this.#fd = openSync(this.#path, "a", 0o600);
    this.#size = 0;
    this.#isBroken = false;
    closeSync(former);
  }

  /** The last records, then with `follow` those to come, until the signal. */
  async *read({ tail, follow, signal }: AuditOptions): AsyncGenerator<AuditRecord> {
    const queue: AuditRecord[] = [];
    let wake = (): void => {};
    const take = (record: AuditRecord): void => {
      queue.push(record);
      wake();
    };
    const end = (): void => wake();
    if (follow) this.#followers.add(take);
    signal?.addEventListener("abort", end);
    try {
      const past = await this.#past();
      yield* tail < 0 ? past : past.slice(past.length - Math.min(tail, past.length));
      while (follow && signal?.aborted !== true) {
        yield* queue.splice(0);
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (queue.length > 0 || signal?.aborted) resolve();
        });
      }
    } finally {
      this.#followers.delete(take);
      signal?.removeEventListener("abort", end);
    }
  }

  /** The records until now: what is written while they are read is none of them. */
  async #past(): Promise<AuditRecord[]> {
    const segments = [`${this.#path}.1`, this.#path].flatMap(openSegment);
    try {
      const texts = await Promise.all(segments.map(readSegment));
      return texts.flatMap((text) => text.split("\n")).flatMap(parseRecord);
    } finally {
      for (const { fd } of segments) closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

interface Segment {
  readonly fd: number;
  readonly size: number;
}

function openSegment(path: string): Segment[] {
  try {
    const fd = openSync(path, "r");
    return [{ fd, size: fstatSync(fd).size }];
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw error;
  }
}

async function readSegment({ fd, size }: Segment): Promise<string> {
  const text = Buffer.alloc(size);
  for (let at = 0; at < size; ) {
    const { bytesRead } = await readAt(fd, text, at, size - at, at);
    if (bytesRead === 0) return text.toString("utf8", 0, at);
    at += bytesRead;
  }
  return text.toString();
}

/** A line that a full disk or a power cut has broken is none. */
function parseRecord(line: string): AuditRecord[] {
  try {
    return line === "" ? [] : [JSON.parse(line) as AuditRecord];
  } catch {
    return [];
  }
}
