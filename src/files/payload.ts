import { DhowError, type TarHeader, type TarReader } from "../lib/mod.ts";
import { ftruncate, pwrite } from "../linux/mod.ts";
import { type Attributes, writeAll } from "./attributes.ts";

/** A piece of zeros this long becomes a hole; what comes over a connection is cut into pieces of some 32 KiB. */
const HOLE_BYTES = 16 * 1024;
const ZEROS = Buffer.alloc(1 << 20);

/** How long work may go on. */
export interface PayloadOptions {
  readonly signal: AbortSignal;
  /** Awaited now and then: gives the event loop its turn. */
  readonly breathe: () => Promise<void> | undefined;
}

interface WriteOptions extends PayloadOptions {
  /** Told which part of the file the next bytes of the payload are. */
  readonly onStretch?: (offset: number, length: number) => void;
}

/** The attributes that an archive gives a file. */
export function headerAttributes(header: TarHeader): Attributes {
  return {
    mode: header.mode,
    uid: header.uid,
    gid: header.gid,
    mtimeNs: header.mtimeNs,
    atimeNs: header.atimeNs ?? header.mtimeNs,
    ...(header.xattrs ? { xattrs: header.xattrs } : {}),
  };
}

/**
 * Writes the content of the reader's current entry to the new, empty file `fd`; long runs of zeros become holes. Returns a promise only
 * when the archive has to be waited for.
 * @throws {SysError} ENOSPC; invalid "unexpected EOF"
 */
export function writePayload(fd: number, header: TarHeader, reader: TarReader, options: WriteOptions): Promise<void> | undefined {
  if (header.payloadBytes === 0) {
    if (header.size > 0) ftruncate(fd, header.size);
    return undefined;
  }
  const chunk = reader.readChunk();
  if (header.sparse === undefined && chunk instanceof Uint8Array && chunk.length === header.payloadBytes && chunk.length < HOLE_BYTES) {
    writeAll(fd, chunk);
    options.onStretch?.(0, chunk.length);
    return undefined;
  }
  return writeChunks(fd, header, { first: chunk, reader }, options);
}

interface Source {
  readonly first: ReturnType<TarReader["readChunk"]>;
  readonly reader: TarReader;
}

async function writeChunks(fd: number, header: TarHeader, { first, reader }: Source, options: WriteOptions): Promise<void> {
  const extents = header.sparse ?? [{ offset: 0, length: header.payloadBytes }];
  let index = 0;
  let done = 0;
  let end = 0;
  for (let chunk = await first; chunk !== null; chunk = await reader.readChunk()) {
    for (let at = 0; at < chunk.length; ) {
      const extent = extents[index];
      if (extent === undefined) throw new DhowError("internal", "more content than the sparse map has room for");
      const length = Math.min(chunk.length - at, extent.length - done);
      const offset = extent.offset + done;
      const piece = chunk.subarray(at, at + length);
      if (!isHole(piece)) {
        writeAt(fd, piece, offset);
        end = offset + length;
      }
      options.onStretch?.(offset, length);
      at += length;
      done += length;
      if (done === extent.length) {
        index++;
        done = 0;
      }
    }
    options.signal.throwIfAborted();
    await options.breathe();
  }
  if (end < header.size) ftruncate(fd, header.size);
}

function writeAt(fd: number, bytes: Uint8Array, offset: number): void {
  for (let done = 0; done < bytes.length; ) done += pwrite(fd, bytes.subarray(done), offset + done);
}

/** Whether a piece is so long and so empty that it need not take room on the disk. */
function isHole(piece: Uint8Array): boolean {
  if (piece.length < HOLE_BYTES || piece.length > ZEROS.length || piece[0] !== 0 || piece[piece.length - 1] !== 0) return false;
  return Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength).equals(ZEROS.subarray(0, piece.length));
}
