import type { AttachSession } from "../../spec/engine/mod.ts";
import { isTerminal } from "./is-terminal.ts";

/** How stdin goes to a session. */
export interface StdinOptions {
  /** The container has a terminal: ours gets raw, and the keys that detach count. */
  readonly tty: boolean;
  /** `ctrl-p,ctrl-q` as bytes. */
  readonly detachKeys: Uint8Array;
}

/** Why the pump ended. */
export type PumpEnd = "eof" | "detached" | "closed";

export interface StdinPump {
  readonly ended: Promise<PumpEnd>;
  /** Stops reading and gives the terminal back. */
  stop(): void;
}

/** Tells the keys that detach from what the container is to get. */
export class DetachFilter {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** What of `input` goes on, and whether it ended with the keys. Keys that might begin the sequence wait for the next ones. */
  push(input: Uint8Array): { readonly output: Uint8Array; readonly isDetached: boolean } {
    const keys = this.#keys;
    if (keys.length === 0) return { output: input, isDetached: false };
    const output: number[] = [];
    for (const byte of input) {
      if (byte === keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === keys.length) return { output: Uint8Array.from(output), isDetached: true };
        continue;
      }
      output.push(...keys.subarray(0, this.#matched));
      this.#matched = byte === keys[0] ? 1 : 0;
      if (this.#matched === 0) output.push(byte);
    }
    return { output: Uint8Array.from(output), isDetached: false };
  }
}

const CONTROL: Readonly<Record<string, number>> = { "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, _: 31 };

/** The bytes of `ctrl-p,ctrl-q` or `a,b`; undefined when it is no such sequence. */
export function parseDetachKeys(text: string): Uint8Array | undefined {
  const bytes: number[] = [];
  for (const key of text.split(",")) {
    const control = /^ctrl-(.)$/.exec(key)?.[1];
    if (control !== undefined) {
      const code = /[a-z]/.test(control) ? control.charCodeAt(0) - 96 : CONTROL[control];
      if (code === undefined) return undefined;
      bytes.push(code);
    } else if (key.length === 1) bytes.push(key.charCodeAt(0));
    else return undefined;
  }
  return Uint8Array.from(bytes);
}

export const DEFAULT_DETACH_KEYS = Uint8Array.of(16, 17);

/** Whether stdin is a terminal. */
export function isStdinTerminal(): boolean {
  return isTerminal(0);
}

/** Sends stdin to `session`, with back-pressure, until it ends, the keys detach, or `stop`. */
export async function pumpStdin(session: AttachSession, { tty, detachKeys }: StdinOptions): Promise<StdinPump> {
  const restore = tty && isTerminal(0) ? (await import("../../linux/mod.ts")).makeRaw(0) : () => {};
  process.once("exit", restore);
  const filter = tty ? new DetachFilter(detachKeys) : undefined;
  const { stdin } = process;
  let settle: (end: PumpEnd) => void = () => {};
  const ended = new Promise<PumpEnd>((resolve) => {
    settle = resolve;
  });
  let isStopped = false;
  const stop = () => {
    if (isStopped) return;
    isStopped = true;
    stdin.destroy();
    process.off("exit", restore);
    restore();
    settle("closed");
  };
  // Not by events: between pause() and resume() Bun now and then loses the end.
  const pump = async (): Promise<void> => {
    for await (const chunk of stdin as AsyncIterable<Uint8Array>) {
      const { output, isDetached } = filter?.push(chunk) ?? { output: chunk, isDetached: false };
      if (output.length > 0) await session.write(output);
      if (isDetached) {
        settle("detached");
        stop();
      }
      if (isStopped) return;
    }
  };
  const finish = (): void => {
    if (isStopped) return;
    session.closeStdin();
    settle("eof");
  };
  // what can't be read any more has ended
  void pump().then(finish, finish);
  return { ended, stop };
}
