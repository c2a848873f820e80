import { DhowError } from "../errdefs.ts";
import {
  BLOCK,
  invalidHeader,
  isZeroBlock,
  parseHeader,
  parseNumber,
  type RawHeader,
  type SparseExtent,
  type TarHeader,
  type TarType,
} from "./header.ts";
import { decodeName } from "./name.ts";
import { type PaxRecords, pairs, parsePax } from "./pax.ts";

/** Extended headers and sparse maps are held in memory; archive/tar has the same limit. */
const SPECIAL_MAX = 1 << 20;

const TYPES: Readonly<Record<string, TarType>> = {
  "\0": "file",
  "0": "file",
  "1": "link",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file",
  S: "file",
  g: "global",
};

export interface TarReaderOptions {
  /**
   * Gets every byte of the archive that `readChunk` does not hand out, in order: headers, padding, skipped payloads, what
   * follows the end mark. The bytes are a view: copy what must outlive the call.
   */
  readonly onRaw?: (bytes: Uint8Array) => void;
}

/** The error of a stream that ends too early, in the words that docker prints. */
export function unexpectedEof(): DhowError {
  return new DhowError("invalid", "unexpected EOF");
}

/**
 * Reads a tar stream entry by entry: V7, USTAR, PAX, GNU and star, as tolerant as Go's archive/tar. Payloads are views into
 * the source's chunks, never copied. `next`, then `readChunk` until null (or not: `next` skips the rest), in the end `finish`.
 * @see https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13, tar(5), GNU tar's manual "Sparse Formats"
 */
export class TarReader {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #onRaw: (bytes: Uint8Array) => void;
  #chunk: Buffer = Buffer.alloc(0);
  #at = 0;
  #isDrained = false;
  #payloadLeft = 0;
  #paddingLeft = 0;

  constructor(source: AsyncIterable<Uint8Array>, options: TarReaderOptions = {}) {
    this.#source = source[Symbol.asyncIterator]();
    this.#onRaw = options.onRaw ?? (() => {});
  }

  /** The next entry's header, null at the end mark or the stream's end. @throws invalid for a malformed archive or "unexpected EOF" */
  async next(): Promise<TarHeader | null> {
    let pax: PaxRecords | undefined;
    let longName: Uint8Array | undefined;
    let longLink: Uint8Array | undefined;
    for (;;) {
      if (this.#payloadLeft + this.#paddingLeft > 0) await this.#skip();
      const block = this.#take(BLOCK) ?? (await this.#gather(BLOCK, true));
      if (block === null || isZeroBlock(block)) {
        if (block !== null) await this.#endMark();
        if (pax || longName || longLink) throw unexpectedEof();
        return null;
      }
      const raw = parseHeader(block);
      if (raw.typeflag === "x") pax = parsePax(await this.#special(raw.size));
      else if (raw.typeflag === "L") longName = cString(await this.#special(raw.size));
      else if (raw.typeflag === "K") longLink = cString(await this.#special(raw.size));
      else return await this.#entry(raw, block, pax, longName, longLink);
    }
  }

  /** The next piece of the current payload, null at its end; a promise only when the source has to be waited for. @throws invalid "unexpected EOF" */
  readChunk(): Uint8Array | null | Promise<Uint8Array | null> {
    if (this.#payloadLeft === 0) return null;
    if (this.#at < this.#chunk.length) return this.#view();
    return this.#fill().then((isFilled) => {
      if (!isFilled) throw unexpectedEof();
      return this.#view();
    });
  }

  /** Reads the source to its end; what follows the end mark goes to `onRaw`. */
  async finish(): Promise<void> {
    if (this.#payloadLeft + this.#paddingLeft > 0) await this.#skip();
    do {
      if (this.#at < this.#chunk.length) this.#onRaw(this.#chunk.subarray(this.#at));
      this.#at = this.#chunk.length;
    } while (await this.#fill());
  }

  /** Tells the source that no more is wanted. */
  async close(): Promise<void> {
    this.#isDrained = true;
    await this.#source.return?.();
  }

  #view(): Uint8Array {
    const end = Math.min(this.#chunk.length, this.#at + this.#payloadLeft);
    const piece = this.#chunk.subarray(this.#at, end);
    this.#at = end;
    this.#payloadLeft -= piece.length;
    return piece;
  }

  /** Gets the next non-empty chunk; false at the end. */
  async #fill(): Promise<boolean> {
    while (!this.#isDrained) {
      const { done, value } = await this.#source.next();
      if (done) this.#isDrained = true;
      else if (value.length > 0) {
        this.#chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
        this.#at = 0;
        return true;
      }
    }
    return false;
  }

  /** `length` bytes as raw bytes when the chunk has them all. */
  #take(length: number): Buffer | null {
    if (this.#chunk.length - this.#at < length) return null;
    const bytes = this.#chunk.subarray(this.#at, this.#at + length);
    this.#at += length;
    this.#onRaw(bytes);
    return bytes;
  }

  /** `length` raw bytes from as many chunks as it takes; null at a clean end when `isEndAllowed`. */
  async #gather(length: number, isEndAllowed = false): Promise<Buffer | null> {
    const bytes = Buffer.allocUnsafe(length);
    let have = 0;
    while (have < length) {
      if (this.#at === this.#chunk.length && !(await this.#fill())) {
        if (isEndAllowed && have === 0) return null;
        throw unexpectedEof();
      }
      const end = Math.min(this.#chunk.length, this.#at + length - have);
      have += this.#chunk.copy(bytes, have, this.#at, end);
      this.#at = end;
    }
    this.#onRaw(bytes);
    return bytes;
  }

  async #read(length: number): Promise<Buffer> {
    return this.#take(length) ?? (await this.#gather(length)) ?? Buffer.alloc(0);
  }

  async #skip(): Promise<void> {
    let left = this.#payloadLeft + this.#paddingLeft;
    while (left > 0) {
      if (this.#at === this.#chunk.length && !(await this.#fill())) {
        // a last entry whose padding was cut off is complete
        if (left <= this.#paddingLeft) break;
        throw unexpectedEof();
      }
      const end = Math.min(this.#chunk.length, this.#at + left);
      this.#onRaw(this.#chunk.subarray(this.#at, end));
      left -= end - this.#at;
      this.#at = end;
    }
    this.#payloadLeft = 0;
    this.#paddingLeft = 0;
  }

  async #endMark(): Promise<void> {
    const second = this.#take(BLOCK) ?? (await this.#gather(BLOCK, true));
    if (second !== null && !isZeroBlock(second)) throw invalidHeader("data after one zero block");
  }

  async #special(size: number): Promise<Buffer> {
    if (size > SPECIAL_MAX) throw invalidHeader(`extended header of ${size} bytes`);
    const data = Buffer.from(await this.#read(size));
    this.#paddingLeft = padding(size);
    return data;
  }

  async #entry(
    raw: RawHeader,
    block: Buffer,
    pax: PaxRecords | undefined,
    longName: Uint8Array | undefined,
    longLink: Uint8Array | undefined,
  ) {
    const name = decodeName(longName ?? pax?.sparseName ?? pax?.path ?? raw.name);
    let type = TYPES[raw.typeflag] ?? "other";
    if (raw.typeflag === "\0" && name.endsWith("/")) type = "directory";
    const hasPayload = type === "file" || type === "other" || type === "global";
    const written = pax?.size ?? raw.size;
    // the fields of `raw` are views: they are decoded before anything more is read
    const header = {
      type,
      typeflag: raw.typeflag,
      name,
      linkName: decodeName(longLink ?? pax?.linkpath ?? raw.linkName),
      mode: raw.mode & 0o7777,
      uid: pax?.uid ?? raw.uid,
      gid: pax?.gid ?? raw.gid,
      mtimeNs: pax?.mtimeNs ?? BigInt(raw.mtimeSeconds) * 1_000_000_000n,
      ...(pax?.atimeNs !== undefined ? { atimeNs: pax.atimeNs } : {}),
      uname: decodeName(pax?.uname ?? raw.uname),
      gname: decodeName(pax?.gname ?? raw.gname),
      devMajor: raw.devMajor,
      devMinor: raw.devMinor,
      ...(pax?.xattrs ? { xattrs: pax.xattrs } : {}),
    };
    if (!hasPayload) return { ...header, size: 0, payloadBytes: 0 };
    const sparse = await this.#sparse(raw, block, written, pax);
    const payloadBytes = written - sparse.mapBytes;
    if (payloadBytes < 0) throw invalidHeader("sparse map is larger than its entry");
    this.#payloadLeft = payloadBytes;
    this.#paddingLeft = padding(written);
    if (!sparse.extents) return { ...header, size: written, payloadBytes };
    verifyExtents(sparse.extents, sparse.size, payloadBytes);
    return { ...header, size: sparse.size, payloadBytes, sparse: sparse.extents.filter((extent) => extent.length > 0) };
  }

  async #sparse(raw: RawHeader, block: Buffer, written: number, pax: PaxRecords | undefined): Promise<SparseMap> {
    if (raw.typeflag === "S" && raw.isGnu) return { size: realSize(block), extents: await this.#oldGnuMap(block), mapBytes: 0 };
    if (pax?.isSparseMapInPayload) {
      const { extents, mapBytes } = await this.#payloadMap(written);
      return { size: pax.sparseSize ?? 0, extents, mapBytes };
    }
    if (pax?.sparseMap) return { size: pax.sparseSize ?? 0, extents: pax.sparseMap, mapBytes: 0 };
    return { size: written, mapBytes: 0 };
  }

  /** The map of type flag S: four extents in the header, then 21 in each extension block. */
  async #oldGnuMap(block: Buffer): Promise<SparseExtent[]> {
    const extents: SparseExtent[] = [];
    let isExtended = appendExtents(extents, block, 386, 4);
    while (isExtended) {
      if (extents.length > SPECIAL_MAX / 24) throw invalidHeader("sparse map is too long");
      isExtended = appendExtents(extents, await this.#read(BLOCK), 0, 21);
    }
    return extents;
  }

  /** GNU sparse 1.0: decimal lines, the count first, padded to blocks, in front of the data. */
  async #payloadMap(written: number): Promise<{ extents: SparseExtent[]; mapBytes: number }> {
    const numbers: number[] = [];
    let line = "";
    for (let blocks = 1; ; blocks++) {
      if (blocks * BLOCK > Math.min(written, SPECIAL_MAX)) throw invalidHeader("sparse map is cut off");
      const lines = (line + (await this.#read(BLOCK)).toString("latin1")).split("\n");
      line = lines.pop() ?? "";
      for (const text of lines) {
        // what follows the last number pads the block
        if (numbers.length > 0 && numbers.length === (numbers[0] ?? 0) * 2 + 1) break;
        if (!/^\d{1,16}$/.test(text)) throw invalidHeader("malformed sparse map");
        numbers.push(Number(text));
      }
      const [count] = numbers;
      if (count === undefined || numbers.length < count * 2 + 1) {
        if (line.length > 16) throw invalidHeader("malformed sparse map");
        continue;
      }
      if (numbers.some((n) => !Number.isSafeInteger(n))) throw invalidHeader("malformed sparse map");
      return { extents: pairs(numbers.slice(1)), mapBytes: blocks * BLOCK };
    }
  }
}

interface SparseMap {
  readonly size: number;
  readonly extents?: SparseExtent[];
  readonly mapBytes: number;
}

function realSize(block: Buffer): number {
  const size = parseNumber(block, 483, 12, "realsize");
  if (size < 0) throw invalidHeader("negative size");
  return size;
}

function appendExtents(extents: SparseExtent[], block: Buffer, start: number, count: number): boolean {
  for (let i = 0; i < count; i++) {
    const at = start + i * 24;
    // an unused slot is all NUL
    if (block[at] === 0 && block[at + 12] === 0) continue;
    extents.push({ offset: parseNumber(block, at, 12, "sparse offset"), length: parseNumber(block, at + 12, 12, "sparse length") });
  }
  return block[start + count * 24] !== 0;
}

function verifyExtents(extents: readonly SparseExtent[], size: number, payloadBytes: number): void {
  let end = 0;
  let total = 0;
  for (const { offset, length } of extents) {
    if (offset < end || length < 0 || offset + length > size) throw invalidHeader("sparse map is out of order or out of the file");
    end = offset + length;
    total += length;
  }
  if (total !== payloadBytes) throw invalidHeader(`sparse map names ${total} bytes, the entry has ${payloadBytes}`);
}

/** The bytes that pad `size` to whole blocks. */
export function padding(size: number): number {
  const over = size % BLOCK;
  return over === 0 ? 0 : BLOCK - over;
}

function cString(data: Buffer): Uint8Array {
  const end = data.indexOf(0);
  return end < 0 ? data : data.subarray(0, end);
}

/** An entry of `readTar`. */
export interface TarEntry {
  readonly header: TarHeader;
  /** The payload's bytes; may be left unread, whole or in part, and must not be read after the next entry was asked for. */
  readonly payload: AsyncIterable<Uint8Array>;
}

/** The entries of a tar stream one by one; a simpler form of `TarReader`. Leaving the loop early ends the source. @throws invalid */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry, void, void> {
  const reader = new TarReader(source);
  try {
    for (let header = await reader.next(); header !== null; header = await reader.next()) yield { header, payload: payloadOf(reader) };
    await reader.finish();
  } finally {
    await reader.close();
  }
}

async function* payloadOf(reader: TarReader): AsyncGenerator<Uint8Array, void, void> {
  for (let chunk = await reader.readChunk(); chunk !== null; chunk = await reader.readChunk()) yield chunk;
}
