import type { IncomingMessage } from "node:http";

/** How much is taken from the connection before it has to wait, and when it goes on. */
const HIGH_BYTES = 2 << 20;
const LOW_BYTES = 1 << 20;

/**
 * The body of a request, read ahead: what `node:stream` hands out piece by piece costs a stop and a start of the connection for each, and
 * the client waits meanwhile. Leaving the loop early gives the rest up.
 * @throws Error when the client goes away before the end
 */
export function readAhead(incoming: IncomingMessage): AsyncIterableIterator<Uint8Array> {
  const queue: Uint8Array[] = [];
  let bytes = 0;
  let isPaused = false;
  let end: { readonly error?: unknown } | undefined;
  let wake: (() => void) | undefined;
  const signal = (): void => {
    wake?.();
    wake = undefined;
  };
  const finish = (error?: unknown): void => {
    end ??= error === undefined ? {} : { error };
    signal();
  };
  const take = (chunk: Uint8Array): void => {
    queue.push(chunk);
    bytes += chunk.length;
    if (bytes > HIGH_BYTES && !isPaused) {
      isPaused = true;
      incoming.pause();
    }
    signal();
  };
  const close = (): void => finish(incoming.complete ? undefined : new Error("unexpected EOF"));
  const done = (): void => finish();
  let isStarted = false;
  const start = (): void => {
    if (isStarted) return;
    isStarted = true;
    incoming.on("data", take).on("end", done).on("error", finish).on("close", close);
    if (incoming.destroyed) close();
  };
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    start();
    while (queue.length === 0 && end === undefined) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    const chunk = queue.shift();
    if (chunk === undefined) {
      if (end?.error !== undefined) throw end.error;
      return { done: true, value: undefined };
    }
    bytes -= chunk.length;
    if (isPaused && bytes < LOW_BYTES) {
      isPaused = false;
      incoming.resume();
    }
    return { done: false, value: chunk };
  };
  const stop = async (): Promise<IteratorResult<Uint8Array>> => {
    incoming.off("data", take).off("end", done).off("error", finish).off("close", close);
    queue.length = 0;
    finish();
    // the rest is read and dropped, so that the answer gets through
    if (!incoming.destroyed) incoming.resume();
    return { done: true, value: undefined };
  };
  const iterator: AsyncIterableIterator<Uint8Array> = { next, return: stop, [Symbol.asyncIterator]: () => iterator };
  return iterator;
}
