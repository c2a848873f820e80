import { DhowError } from "../../lib/mod.ts";
import type { Fd } from "../../linux/mod.ts";
import { ByteReader, decodeError, type ErrorData, encodeMessage, FRAME, FRAME_HEAD_BYTES } from "./frames.ts";

/** Told about a file that is missing in an archive. */
export type OnFault = (file: string, error: unknown) => void;

/** A frame's head; a payload of bytes is still to be read. */
export interface Frame {
  readonly kind: number;
  readonly length: number;
  readonly value: unknown;
}

/** A process that works on files which may keep who asks for them waiting: it can be given up. It is killed when `signal` is aborted. */
export class HelperProcess implements Disposable {
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #input: ByteReader;
  readonly #cancel: () => void;
  readonly #signal: AbortSignal;
  readonly #onAbort = (): void => this[Symbol.dispose]();

  /** `given` becomes its descriptor 3. */
  constructor(command: readonly string[], signal: AbortSignal, given?: Fd) {
    signal.throwIfAborted();
    this.#signal = signal;
    const stdio = ["pipe", "pipe", "inherit", ...(given === undefined ? [] : [given.fd])] as const;
    this.#child = Bun.spawn([...command, String(process.pid)], { cwd: "/", stdio: [...stdio] });
    const reader = this.#child.stdout.getReader();
    this.#cancel = () => void reader.cancel().catch(() => {});
    this.#input = new ByteReader(piecesOf(() => reader.read()));
    signal.addEventListener("abort", this.#onAbort);
  }

  /** Kills the process, and waits neither for it, which may take until the file system answers, nor for its output. */
  [Symbol.dispose](): void {
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#child.kill("SIGKILL");
    this.#child.unref();
    this.#cancel();
  }

  async tell(value: unknown): Promise<void> {
    this.#child.stdin.write(encodeMessage(value));
    await this.#child.stdin.flush();
  }

  /** The next frame, which has to be of `kind`. @throws what the helper says went wrong */
  async frame(kind: number): Promise<Frame> {
    const frame = await this.next();
    if (frame.kind !== kind) throw new DhowError("internal", `the file helper answers with ${frame.kind} where ${kind} is due`);
    return frame;
  }

  /** The bytes of an archive, to its end. */
  async *archive(onFault: OnFault): AsyncGenerator<Uint8Array, void, void> {
    for (;;) {
      const { kind, length, value } = await this.next();
      if (kind === FRAME.done) return;
      if (kind === FRAME.fault) {
        const { file, error } = value as { readonly file: string; readonly error: ErrorData };
        onFault(file, decodeError(error));
        continue;
      }
      for (let left = length; left > 0; ) {
        const piece = await this.#input.some(left);
        if (piece === undefined) throw this.#gone();
        left -= piece.length;
        yield piece;
      }
    }
  }

  /** Hands the tar on, and gives it up when the helper ends before. */
  async unpack(tar: AsyncIterable<Uint8Array>): Promise<void> {
    let isAnswered = false;
    let wake = (): void => {};
    const answer = this.frame(FRAME.done).finally(() => {
      isAnswered = true;
      wake();
    });
    answer.catch(() => {});
    for await (const chunk of tar) {
      if (isAnswered) break;
      this.#child.stdin.write(chunk);
      const flushed = this.#child.stdin.flush();
      if (typeof flushed === "number") continue;
      // a helper that has ended takes no more
      await new Promise<void>((resolve, reject) => {
        wake = resolve;
        flushed.then(() => resolve(), reject);
      });
    }
    if (!isAnswered) void this.#child.stdin.end();
    await answer;
  }

  /** The next frame. @throws what the helper says went wrong */
  async next(): Promise<Frame> {
    const head = await this.#input.exactly(FRAME_HEAD_BYTES);
    if (head === undefined) throw this.#gone();
    const [kind, length] = [head.readUInt8(0), head.readUInt32LE(1)];
    if (kind === FRAME.bytes) return { kind, length, value: undefined };
    const json = await this.#input.exactly(length);
    if (json === undefined) throw this.#gone();
    const value: unknown = JSON.parse(json.toString());
    if (kind === FRAME.failed) throw decodeError(value as ErrorData);
    return { kind, length, value };
  }

  #gone(): unknown {
    return this.#signal.aborted ? this.#signal.reason : new DhowError("internal", "the file helper has ended before its work");
  }
}

function piecesOf(read: () => Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>): AsyncIterable<Uint8Array> {
  const next = async (): Promise<IteratorResult<Uint8Array, undefined>> => {
    const { value } = await read();
    return value === undefined ? { done: true, value } : { done: false, value };
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}
