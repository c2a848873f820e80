import { closeSync, fstatSync, mkdirSync, openSync, readFileSync, readSync, renameSync, statSync, writeSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { type Defect, errnoCode, type Logger, writeFileAtomic } from "../lib/mod.ts";
import type { RecordedEvent } from "./events.ts";

const DEFAULT_SEGMENT_BYTES = 1 << 20;
const CHUNK_BYTES = 64 << 10;
const NEWLINE = 10;
const FOREVER = 1n << 63n;

/**
 * The events of the past, as far as they fit:
 *
 * ```
 * <dir>/current     one event a line: its time in ns since the epoch, a space, JSON
 * <dir>/previous    the segment before
 * ```
 *
 * An event is one write(2) and no fsync: it survives the death of the daemon, and a power cut may take the last ones. A line that a full
 * disk or a power cut has broken is skipped by readers.
 */
export class EventLog implements Disposable {
  readonly #dir: string;
  readonly #segmentBytes: number;
  readonly #log: Logger;
  #fd: number;
  #size: number;
  /** The last line has no end: the next one must not become a part of it. */
  #isBroken: boolean;
  /** The last event could not be kept: said once, not at each. */
  #isFailing = false;

  constructor(dir: string, options: { readonly log: Logger; readonly segmentBytes?: number }) {
    this.#dir = dir;
    this.#segmentBytes = options.segmentBytes ?? DEFAULT_SEGMENT_BYTES;
    this.#log = options.log;
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    this.#fd = this.#open();
    this.#size = fstatSync(this.#fd).size;
    const last = Buffer.alloc(1);
    this.#isBroken = this.#size > 0 && readSync(this.#fd, last, 0, 1, this.#size - 1) === 1 && last[0] !== NEWLINE;
  }

  #open(): number {
    return openSync(join(this.#dir, "current"), "a+", 0o600);
  }

  /** Adds an event. One that can't be written is missing in the past, and nowhere else. */
  append(event: RecordedEvent): void {
    const { timeNs, ...rest } = event;
    const line = Buffer.from(`${this.#isBroken ? "\n" : ""}${timeNs} ${JSON.stringify(rest)}\n`);
    try {
      if (this.#size > 0 && this.#size + line.length > this.#segmentBytes) this.#rotate();
      const written = writeSync(this.#fd, line);
      this.#size += written;
      this.#isBroken = written < line.length;
      this.#isFailing = this.#isBroken;
    } catch (error) {
      if (!this.#isFailing) this.#log.warn("events can't be kept", { error });
      this.#isFailing = true;
    }
  }

  #rotate(): void {
    renameSync(join(this.#dir, "current"), join(this.#dir, "previous"));
    const former = this.#fd;
    this.#fd = this.#open();
    this.#size = 0;
    this.#isBroken = false;
    closeSync(former);
  }

  /** The events from `sinceNs` to `untilNs`, both included, oldest first. */
  async *read(sinceNs: bigint, untilNs: bigint): AsyncGenerator<RecordedEvent> {
    for (const file of await this.#segments()) {
      await using handle = file;
      for await (const line of lines(handle)) {
        const event = parseLine(line, sinceNs, untilNs);
        if (event) yield event;
      }
    }
  }

  /** Opened together: a rotation that comes meanwhile must not hide events, nor show them twice. */
  async #segments(): Promise<FileHandle[]> {
    for (;;) {
      const fd = this.#fd;
      const found = await Promise.all(["previous", "current"].map((name) => openIfThere(join(this.#dir, name))));
      const handles = found.filter((handle) => handle !== undefined);
      if (fd === this.#fd) return handles;
      await Promise.all(handles.map((handle) => handle.close()));
    }
  }

  /** Segments with lines that are no events, or that are not where they are written to any more. */
  defects(): Defect[] {
    return ["previous", "current"].flatMap((name) => {
      const path = join(this.#dir, name);
      const { broken } = whole(path);
      if (broken > 0) return { what: `${path} has ${broken} broken lines`, mend: () => this.#rewrite(name) };
      const isElsewhere = name === "current" && !this.#isCurrent(path);
      return isElsewhere ? { what: `${path} is gone`, mend: () => this.#rewrite(name) } : [];
    });
  }

  #isCurrent(path: string): boolean {
    const found = statSync(path, { throwIfNoEntry: false });
    return found !== undefined && found.ino === fstatSync(this.#fd).ino;
  }

  /** Keeps the lines of a segment that are events. */
  #rewrite(name: string): void {
    const path = join(this.#dir, name);
    writeFileAtomic(path, whole(path).text, { mode: 0o600 });
    if (name !== "current") return;
    const former = this.#fd;
    this.#fd = this.#open();
    this.#size = fstatSync(this.#fd).size;
    this.#isBroken = false;
    closeSync(former);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** A segment without its broken lines, and how many those are; one that is not there is empty. */
function whole(path: string): { readonly text: string; readonly broken: number } {
  let text = "";
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  const lines = text.split("\n");
  // after the last newline comes nothing, or a line without its end
  const good = lines.slice(0, -1).filter((line) => parseLine(line, 0n, FOREVER) !== undefined);
  return { text: good.map((line) => `${line}\n`).join(""), broken: lines.filter((line) => line !== "").length - good.length };
}

async function openIfThere(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function* lines(handle: FileHandle): AsyncGenerator<string> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  let rest = Buffer.alloc(0);
  for (;;) {
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, null);
    if (bytesRead === 0) return;
    const data = Buffer.concat([rest, chunk.subarray(0, bytesRead)]);
    let from = 0;
    for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, from)) {
      yield data.toString("utf8", from, end);
      from = end + 1;
    }
    rest = data.subarray(from);
  }
}

function parseLine(line: string, sinceNs: bigint, untilNs: bigint): RecordedEvent | undefined {
  const time = /^\d+ /.exec(line)?.[0];
  if (time === undefined) return undefined;
  const timeNs = BigInt(time.trimEnd());
  if (timeNs < sinceNs || timeNs > untilNs) return undefined;
  try {
    return { ...(JSON.parse(line.slice(time.length)) as Omit<RecordedEvent, "timeNs">), timeNs };
  } catch {
    // a power cut took the end of it
    return undefined;
  }
}
