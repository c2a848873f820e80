import {
  copyFileRange,
  type FileStat,
  ficlone,
  ftruncate,
  isErrno,
  lseek,
  pread,
  pwrite,
  SEEK_DATA,
  SEEK_HOLE,
  SEEK_SET,
} from "../linux/mod.ts";

const CHUNK_BYTES = 8 * 1024 * 1024;
const BUFFER_BYTES = 256 * 1024;
/** A file up to this size is read at once. */
const SMALL_BYTES = 64 * 1024;

export interface ContentCopierOptions {
  /** Awaited between pieces: gives the event loop its turn, and may throw to end the copy. */
  readonly breathe: () => Promise<void> | undefined;
  /** Told how many bytes of content, holes left out, are there already. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/** Copies what is in files: shared with the original where the file system can, holes as holes, in pieces. */
export class ContentCopier {
  readonly #options: ContentCopierOptions;
  /** Until a file could not be shared with its original: then no other will. */
  #canClone = true;
  #buffer: Uint8Array | undefined;

  constructor(options: ContentCopierOptions) {
    this.#options = options;
  }

  /** Copies the open regular file `from`, of which `stat` tells, to the new, empty file `to`. @throws {SysError} ENOSPC */
  async copy(from: number, to: number, { size, blocks }: FileStat): Promise<void> {
    const { breathe, onBytes } = this.#options;
    if (size === 0) return;
    this.#canClone &&= tryClone(to, from);
    if (this.#canClone) return onBytes?.(size);
    // most files are small and have no holes
    if (size <= SMALL_BYTES && blocks * 512 >= size) {
      const got = this.#copyWhole(from, to, size);
      return onBytes?.(got);
    }
    ftruncate(to, size);
    let offset = nextData(from, 0);
    while (offset !== undefined && offset < size) {
      const end = lseek(from, offset, SEEK_HOLE);
      while (offset < end) {
        const got = this.#copyPiece(from, to, offset, Math.min(CHUNK_BYTES, end - offset));
        if (got <= 0) return;
        offset += got;
        onBytes?.(got);
        await breathe();
      }
      offset = nextData(from, offset);
    }
  }

  #copyPiece(from: number, to: number, offset: number, length: number): number {
    try {
      lseek(from, offset, SEEK_SET);
      lseek(to, offset, SEEK_SET);
      return copyFileRange(from, to, length);
    } catch (error) {
      if (!isErrno(error, "EXDEV", "EINVAL", "ENOSYS", "EOPNOTSUPP")) throw error;
      return this.#copyBuffer(from, to, offset, length);
    }
  }

  /** By one read and one write, mostly. Returns how many bytes that were. */
  #copyWhole(from: number, to: number, size: number): number {
    let offset = 0;
    while (offset < size) {
      const got = this.#copyBuffer(from, to, offset, size - offset);
      if (got <= 0) break;
      offset += got;
    }
    return offset;
  }

  #copyBuffer(from: number, to: number, offset: number, length: number): number {
    this.#buffer ??= Buffer.allocUnsafeSlow(BUFFER_BYTES);
    const got = pread(from, this.#buffer.subarray(0, Math.min(length, BUFFER_BYTES)), offset);
    for (let done = 0; done < got; ) done += pwrite(to, this.#buffer.subarray(done, got), offset + done);
    return got;
  }
}

/** Where the next data of a sparse file begins; undefined when only a hole is left. */
function nextData(fd: number, offset: number): number | undefined {
  const found = lseek(fd, offset, SEEK_DATA);
  return found < 0 ? undefined : found;
}

function tryClone(to: number, from: number): boolean {
  try {
    return ficlone(to, from);
  } catch {
    return false;
  }
}
