import type { Transform } from "node:stream";
import { DhowError, errnoCode } from "../errdefs.ts";
import { unexpectedEof } from "./reader.ts";
import { ZstdFrames } from "./zstd-frames.ts";

export type Compression = "none" | "gzip" | "zstd" | "xz" | "bzip2";

const MAGICS: readonly (readonly [Compression, readonly number[]])[] = [
  ["gzip", [0x1f, 0x8b]],
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["xz", [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ["bzip2", [0x42, 0x5a, 0x68]],
];
const SNIFF_BYTES = 6;
const OPTIONS = { chunkSize: 256 * 1024 };

/** How a stream that starts with `bytes` is compressed; six bytes are enough. */
export function sniffCompression(bytes: Uint8Array): Compression {
  for (const [name, magic] of MAGICS) if (bytes.length >= magic.length && magic.every((byte, i) => bytes[i] === byte)) return name;
  return "none";
}

/**
 * The uncompressed bytes of `source`, whatever it is compressed with (gzip and zstd are unpacked off the main thread).
 * @throws invalid "unexpected EOF" for a stream that is cut off, or when it is corrupt; unsupported for xz and bzip2
 */
export async function* decompress(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const iterator = source[Symbol.asyncIterator]();
  try {
    const head = await readHead(iterator);
    const rest = resume(head, iterator);
    const compression = sniffCompression(head);
    if (compression === "none") yield* rest;
    else if (compression === "gzip") yield* inflate(rest, "gzip");
    else if (compression === "zstd") yield* unpackZstd(rest);
    else throw new DhowError("unsupported", `unpack: ${compression} is not supported, only gzip and zstd are`);
  } finally {
    await iterator.return?.();
  }
}

async function* unpackZstd(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  const frames = new ZstdFrames();
  const watched = async function* (): AsyncGenerator<Uint8Array, void, void> {
    for await (const chunk of source) {
      frames.feed(chunk);
      yield chunk;
    }
  };
  yield* inflate(watched(), "zstd");
  if (!frames.isComplete) throw unexpectedEof();
}

async function readHead(iterator: AsyncIterator<Uint8Array>): Promise<Uint8Array> {
  let head: Uint8Array = new Uint8Array(0);
  while (head.length < SNIFF_BYTES) {
    const { done, value } = await iterator.next();
    if (done) break;
    head = head.length === 0 ? value : Buffer.concat([head, value]);
  }
  return head;
}

async function* resume(head: Uint8Array, iterator: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
  if (head.length > 0) yield head;
  for (;;) {
    const { done, value } = await iterator.next();
    if (done) return;
    yield value;
  }
}

async function* inflate(source: AsyncIterable<Uint8Array>, compression: "gzip" | "zstd"): AsyncGenerator<Uint8Array, void, void> {
  // loaded here because every start of the program would pay for it
  const [{ Readable }, zlib] = await Promise.all([import("node:stream"), import("node:zlib")]);
  const engine: Transform = compression === "gzip" ? zlib.createGunzip(OPTIONS) : zlib.createZstdDecompress(OPTIONS);
  const input = Readable.from(source, { objectMode: false, highWaterMark: 1 << 20 });
  let sourceError: unknown;
  input.on("error", (error) => {
    sourceError = error;
    engine.destroy(error);
  });
  input.pipe(engine);
  try {
    for await (const chunk of engine) yield chunk as Uint8Array;
  } catch (error) {
    if (sourceError !== undefined) throw sourceError;
    throw corrupt(error);
  } finally {
    input.destroy();
    engine.destroy();
  }
}

function corrupt(error: unknown): unknown {
  const code = errnoCode(error) ?? "";
  const text = error instanceof Error ? error.message : "";
  if (code === "Z_BUF_ERROR" || /unexpected end/i.test(text)) return unexpectedEof();
  if (/^(Z_|ZSTD_)/.test(code)) return new DhowError("invalid", `unpack: ${text}`, { cause: error });
  return error;
}
