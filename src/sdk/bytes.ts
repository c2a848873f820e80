/** Bytes as callers have them: text is taken as UTF-8. */
export type ByteSource =
  | string
  | Uint8Array
  | ArrayBuffer
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>
  | Iterable<Uint8Array | string>;

/** Bytes to read, as a web stream or with `for await`. */
export type ByteStream = ReadableStream<Uint8Array> & AsyncIterable<Uint8Array>;

/** The bytes of whatever the caller has. */
export async function* bytesOf(source: ByteSource): AsyncGenerator<Uint8Array> {
  if (source instanceof Uint8Array) yield source;
  else if (source instanceof ArrayBuffer) yield new Uint8Array(source);
  else if (typeof source === "string") yield Buffer.from(source);
  else if (source instanceof Blob) yield new Uint8Array(await source.arrayBuffer());
  // every runtime's web streams can be iterated, not every library of types says so
  else for await (const piece of source as AsyncIterable<Uint8Array | string>) yield typeof piece === "string" ? Buffer.from(piece) : piece;
}

/** A web stream that takes from `source` what its reader asks for; to cancel it ends the source. */
export function byteStream(source: AsyncIterable<Uint8Array>): ByteStream {
  const iterator = source[Symbol.asyncIterator]();
  const stream = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next();
        if (done) controller.close();
        // who reads may keep it, who gave it may use its memory again
        else controller.enqueue(new Uint8Array(value));
      },
      async cancel() {
        await iterator.return?.();
      },
    },
    { highWaterMark: 0 },
  );
  return stream as ByteStream;
}

/** A stream whose source is opened at the first read. */
export async function* opened(open: () => Promise<AsyncIterable<Uint8Array>>): AsyncGenerator<Uint8Array> {
  yield* await open();
}

/** All bytes of a source in memory. */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(new Uint8Array(piece));
  return concat(pieces);
}

/** One array with the bytes of all, and no other. */
export function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
