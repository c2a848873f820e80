import { closeSync, existsSync, openSync, readFileSync, readSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { DhowError, decodeName, nameBytes } from "../lib/mod.ts";

/*
 * A layer is kept unpacked; its recipe makes the tar again, byte for byte. It holds all bytes of the tar that are no file's
 * content, and says which content goes between them. In the layer's directory:
 *
 *   recipe    "dhow recipe 1\n", then blocks: u32le packed length, u32le plain length, one zstd frame.
 *             The blocks unpacked, one after another, are instructions (numbers are LEB128; none straddles a block):
 *               01 length bytes…                these bytes
 *               02 length path… offset length   this stretch of the file at path, relative to the tree's root
 *               03 offset length                a stretch of the file of the last 02
 *               00                              the end; a recipe without it is cut off
 *   moved     only when needed: JSON [[n, path, stash], …]. A later entry took the place of `path`; what the stretches
 *             before number n (counted from 0) found at or below `path` is now at stash/<stash>.
 *   stash/<k> a displaced file or directory
 */

const MAGIC = Buffer.from("dhow recipe 1\n");
const BLOCK_TARGET = 256 * 1024;
const END = 0;
const RAW = 1;
const FILE = 2;
const SAME_FILE = 3;

/** What was displaced by a later entry of the same archive. */
export interface Move {
  /** How many stretches were written before it was moved. */
  readonly before: number;
  readonly path: string;
  readonly stash: number;
}

/** Writes a layer's recipe while its archive is unpacked. */
export class RecipeWriter implements Disposable {
  readonly #dir: string;
  readonly #moves: Move[] = [];
  #fd: number;
  #parts: Uint8Array[] = [];
  #length = 0;
  #path: string | undefined;
  #stretches = 0;

  /** @param dir the layer's directory */
  constructor(dir: string) {
    this.#dir = dir;
    this.#fd = openSync(join(dir, "recipe"), "wx", 0o600);
    writeSync(this.#fd, MAGIC);
  }

  /** How many stretches of files have been noted. */
  get stretches(): number {
    return this.#stretches;
  }

  /** Notes bytes that are no file's content. */
  raw(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#add(Buffer.from([RAW, ...leb128(bytes.length)]));
    // a view would keep its whole chunk in memory until the block is full, and the chunk may be lent
    this.#add(Buffer.from(bytes));
    this.#flushIfFull();
  }

  /** Notes that the next `length` bytes are those of the file at `path` from `offset` on. */
  stretch(path: string, offset: number, length: number): void {
    if (path === this.#path) this.#add(Buffer.from([SAME_FILE, ...leb128(offset), ...leb128(length)]));
    else {
      const bytes = nameBytes(path);
      this.#add(Buffer.concat([Buffer.from([FILE, ...leb128(bytes.length)]), bytes, Buffer.from([...leb128(offset), ...leb128(length)])]));
      this.#path = path;
    }
    this.#stretches++;
    this.#flushIfFull();
  }

  /** Notes that what is at `path` now lies at stash/`stash`. */
  moved(path: string, stash: number): void {
    this.#moves.push({ before: this.#stretches, path, stash });
    // the same path may come again for another file
    this.#path = undefined;
  }

  /** Completes the recipe. */
  finish(): void {
    this.#add(Uint8Array.of(END));
    this.#flush();
    if (this.#moves.length > 0)
      writeFileSync(join(this.#dir, "moved"), JSON.stringify(this.#moves.map((m) => [m.before, m.path, m.stash])), { mode: 0o600 });
    this[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  #add(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }

  #flushIfFull(): void {
    if (this.#length >= BLOCK_TARGET) this.#flush();
  }

  #flush(): void {
    const packed = Bun.zstdCompressSync(Buffer.concat(this.#parts));
    const head = Buffer.alloc(8);
    head.writeUInt32LE(packed.length, 0);
    head.writeUInt32LE(this.#length, 4);
    const block = Buffer.concat([head, packed]);
    for (let done = 0; done < block.length; ) done += writeSync(this.#fd, block, done);
    this.#parts = [];
    this.#length = 0;
  }
}

/** One instruction: bytes, or a stretch of the file at `path`, relative to the layer's directory. */
export type Instruction =
  | { readonly kind: "raw"; readonly bytes: Uint8Array }
  | { readonly kind: "file"; readonly path: string; readonly offset: number; readonly length: number };

/** The instructions of the recipe in a layer's directory; `rootName` is the name of the tree's root in it. @throws internal when the recipe is damaged */
export function* readRecipe(dir: string, rootName: string): Generator<Instruction, void, void> {
  const locate = locator(dir, rootName);
  let path = "";
  let stretches = 0;
  for (const block of blocks(join(dir, "recipe"))) {
    const cursor = { bytes: block, at: 0 };
    while (cursor.at < block.length) {
      const kind = block[cursor.at++];
      if (kind === END) return;
      if (kind === RAW) {
        yield { kind: "raw", bytes: take(cursor, number(cursor)) };
        continue;
      }
      if (kind === FILE) path = decodeName(take(cursor, number(cursor)));
      else if (kind !== SAME_FILE) throw damaged(dir);
      const offset = number(cursor);
      yield { kind: "file", path: locate(path, stretches++), offset, length: number(cursor) };
    }
  }
  throw damaged(dir);
}

function damaged(dir: string): DhowError {
  return new DhowError("internal", `read the recipe in ${dir}: it is damaged`);
}

function* blocks(path: string): Generator<Buffer, void, void> {
  const fd = openSync(path, "r");
  try {
    const exactly = (length: number): Buffer => {
      const bytes = Buffer.allocUnsafe(length);
      let have = 0;
      while (have < length) {
        const n = readSync(fd, bytes, have, length - have, null);
        if (n === 0) throw damaged(path);
        have += n;
      }
      return bytes;
    };
    if (!exactly(MAGIC.length).equals(MAGIC)) throw damaged(path);
    for (;;) {
      const head = exactly(8);
      const plain = Bun.zstdDecompressSync(exactly(head.readUInt32LE(0)));
      if (plain.length !== head.readUInt32LE(4)) throw damaged(path);
      yield plain;
    }
  } finally {
    closeSync(fd);
  }
}

/** Where the content of stretch number n of `path` lies now, relative to the layer's directory. */
function locator(dir: string, rootName: string): (path: string, n: number) => string {
  const file = join(dir, "moved");
  if (!existsSync(file)) return (path) => `${rootName}/${path}`;
  const moves = new Map<string, [number, number][]>();
  for (const [before, path, stash] of JSON.parse(readFileSync(file, "utf8")) as [number, string, number][]) {
    const list = moves.get(path) ?? [];
    list.push([before, stash]);
    moves.set(path, list);
  }
  return (path, n) => {
    let first: { before: number; stash: number; rest: string } | undefined;
    for (let end = path.length; end > 0; end = path.lastIndexOf("/", end - 1)) {
      // a path may be displaced several times; the first one after the stretch counts
      const move = moves.get(path.slice(0, end))?.find(([before]) => n < before);
      if (move && (first === undefined || move[0] < first.before)) first = { before: move[0], stash: move[1], rest: path.slice(end) };
    }
    return first ? `stash/${first.stash}${first.rest}` : `${rootName}/${path}`;
  };
}

interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

function take(cursor: Cursor, length: number): Uint8Array {
  const bytes = cursor.bytes.subarray(cursor.at, cursor.at + length);
  cursor.at += length;
  return bytes;
}

function number(cursor: Cursor): number {
  let value = 0;
  for (let scale = 1; ; scale *= 128) {
    const byte = cursor.bytes[cursor.at++] ?? 0;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return value;
  }
}

function leb128(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return bytes;
}
