import { DhowError, errorMessage } from "../lib/mod.ts";
import type { ProgressMessage } from "../spec/engine/mod.ts";

/** Receives the messages of a piece of work. */
export type Report = (message: ProgressMessage) => void;

/** The last message of a stream that failed. */
function errorLine(error: unknown): ProgressMessage {
  const message = errorMessage(error);
  return { errorDetail: { message }, error: message };
}

/**
 * Runs `work` and hands its messages on as they come. Resolves with the first message, so that a failure before it is thrown to the
 * caller; a later one is the stream's last message. Leaving the stream early, or `signal`, aborts the work; the stream ends when the work has.
 */
export async function progressStream(
  signal: AbortSignal | undefined,
  work: (report: Report, signal: AbortSignal) => Promise<void>,
): Promise<AsyncIterable<ProgressMessage>> {
  const abort = new AbortController();
  const inner = signal === undefined ? abort.signal : AbortSignal.any([signal, abort.signal]);
  const queue: ProgressMessage[] = [];
  let wake: () => void = () => {};
  let outcome: { readonly error?: unknown } | undefined;
  const report: Report = (message) => {
    queue.push(message);
    wake();
  };
  const running = work(report, inner).then(
    () => {
      outcome = {};
      wake();
    },
    (error: unknown) => {
      outcome = { error };
      wake();
    },
  );
  const changed = (): Promise<void> =>
    new Promise((resolve) => {
      wake = resolve;
      if (queue.length > 0 || outcome) resolve();
    });
  await changed();
  if (outcome && "error" in outcome && queue.length === 0) throw outcome.error;
  return (async function* () {
    try {
      for (;;) {
        for (let next = queue.shift(); next; next = queue.shift()) yield next;
        if (outcome) break;
        await changed();
      }
      if (outcome && "error" in outcome) yield errorLine(outcome.error);
    } finally {
      if (!outcome) abort.abort(new DhowError("unavailable", "context canceled"));
      await running;
    }
  })();
}

/** Docker tells a byte count at most this often. */
const BYTES_PER_LINE = 512 * 1024;

/** Passes a stream on and reports how far it is, as docker's progress reader does; `totalBytes` 0 = unknown. */
export async function* withByteProgress(
  source: AsyncIterable<Uint8Array>,
  options: { readonly report: Report; readonly id?: string; readonly status: string; readonly totalBytes: number },
): AsyncGenerator<Uint8Array> {
  const { report, id, status, totalBytes } = options;
  const step = Math.max(BYTES_PER_LINE, Math.floor(totalBytes / 100), totalBytes === 0 ? 8 * BYTES_PER_LINE : 0);
  let current = 0;
  let told = 0;
  const tell = (): void => {
    told = current;
    report({
      status,
      progressDetail: totalBytes > 0 ? { current, total: Math.max(totalBytes, current) } : { current },
      ...(id === undefined ? {} : { id }),
    });
  };
  for await (const chunk of source) {
    yield chunk;
    current += chunk.length;
    if (current - told >= step) tell();
  }
  if (current !== told || current === 0) tell();
}
