import { spawn } from "node:child_process";
import { Readable } from "node:stream";
import { DhowError, decompress, errnoCode, sniffCompression } from "../../lib/mod.ts";

const SNIFF_BYTES = 6;

/** Passes `source` through a program that unpacks; its end, and its death with the caller's, are looked after. */
async function* through(program: string, source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const child = spawn(program, ["-dc"], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said = (said + chunk.toString()).slice(-1000);
  });
  const exit = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  exit.catch(() => {});
  const input = Readable.from(source, { objectMode: false });
  let inputError: unknown;
  input.on("error", (error) => {
    inputError = error;
    child.kill();
  });
  // The program may stop reading early; its exit code tells.
  child.stdin.on("error", () => {});
  input.pipe(child.stdin);
  try {
    for await (const chunk of child.stdout) yield chunk as Uint8Array;
    const code = await exit;
    if (inputError !== undefined) throw inputError;
    if (code !== 0) throw new DhowError("invalid", `unpack: ${said.trim() || `${program} failed`}`);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
    throw new DhowError(
      "unsupported",
      `unpack: ${program} is not installed (Debian's package ${program === "xz" ? "xz-utils" : program})`,
      { cause: error },
    );
  } finally {
    input.destroy();
    child.kill();
  }
}

async function* resumed(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    if (head.length > 0) yield head;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}

/** Hands on what was read of a stream to look at it, and then the stream itself, without a step of its own for each chunk. */
function plain(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncIterator<Uint8Array> {
  let isFirst = head.length > 0;
  return {
    next: () => {
      if (!isFirst) return rest.next();
      isFirst = false;
      return Promise.resolve({ done: false, value: head });
    },
    return: async () => {
      await rest.return?.();
      return { done: true, value: undefined };
    },
  };
}

async function unpacked(iterator: AsyncIterator<Uint8Array>): Promise<AsyncIterator<Uint8Array>> {
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < SNIFF_BYTES) {
    const { done, value } = await iterator.next();
    if (done) break;
    head = head.length === 0 ? value : Buffer.concat([head, value]);
  }
  const compression = sniffCompression(head);
  if (compression === "none") return plain(head, iterator);
  const stream = resumed(head, iterator);
  return compression === "xz" || compression === "bzip2" ? through(compression, stream) : decompress(stream);
}

/**
 * The plain bytes of an archive that is uncompressed or packed with gzip, zstd, xz or bzip2 (the last two by the program of that name).
 * @throws invalid for a damaged stream; unsupported when the program is missing
 */
export function unpackStream(source: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const iterator = source[Symbol.asyncIterator]();
  let inner: AsyncIterator<Uint8Array> | undefined;
  const first = async (): Promise<IteratorResult<Uint8Array>> => {
    inner = await unpacked(iterator);
    return inner.next();
  };
  const end = async (): Promise<IteratorResult<Uint8Array>> => {
    await (inner ?? iterator).return?.();
    return { done: true, value: undefined };
  };
  return { [Symbol.asyncIterator]: () => ({ next: () => inner?.next() ?? first(), return: end }) };
}
