import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** As much of a source is kept in memory. */
const MEMORY_BYTES = 4 << 20;
const CHUNK_BYTES = 256 * 1024;

/** A source that was read to its end, so that its length is known; it can be read again. */
export interface Spool extends AsyncDisposable {
  readonly size: number;
  bytes(): AsyncIterable<Uint8Array>;
}

/** Reads a source to its end: into memory, a long one into a temporary file that nobody else can open. */
export async function spool(source: AsyncIterable<Uint8Array>): Promise<Spool> {
  const iterator = source[Symbol.asyncIterator]();
  const pieces: Uint8Array[] = [];
  let size = 0;
  while (size <= MEMORY_BYTES) {
    const { done, value } = await iterator.next();
    if (done) return { size, bytes: () => each(pieces), [Symbol.asyncDispose]: async () => {} };
    pieces.push(new Uint8Array(value));
    size += value.length;
  }
  return spoolToFile(pieces, iterator);
}

async function* each(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

/** Open, and without a name: gone whatever happens to this program. */
async function namelessFile(): Promise<FileHandle> {
  const dir = await mkdtemp(join(tmpdir(), "dhow-"));
  try {
    return await open(join(dir, "spool"), "wx+", 0o600);
  } finally {
    await rm(dir, { recursive: true });
  }
}

async function spoolToFile(first: readonly Uint8Array[], rest: AsyncIterator<Uint8Array>): Promise<Spool> {
  let file: FileHandle | undefined;
  try {
    const opened = await namelessFile();
    file = opened;
    let size = 0;
    const append = async (piece: Uint8Array): Promise<void> => {
      await opened.appendFile(piece);
      size += piece.length;
    };
    for (const piece of first) await append(piece);
    for (let next = await rest.next(); !next.done; next = await rest.next()) await append(next.value);
    return {
      size,
      bytes: async function* () {
        for (let at = 0; at < size; ) {
          const { bytesRead, buffer } = await opened.read(new Uint8Array(CHUNK_BYTES), 0, CHUNK_BYTES, at);
          if (bytesRead === 0) return;
          at += bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
      },
      [Symbol.asyncDispose]: () => opened.close(),
    };
  } catch (error) {
    await rest.return?.();
    await file?.close();
    throw error;
  }
}
