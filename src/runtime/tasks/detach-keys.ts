import { DhowError } from "../../lib/mod.ts";

/** Docker's default: ctrl-p, ctrl-q. */
export const DEFAULT_DETACH_KEYS = "ctrl-p,ctrl-q";

const CONTROL: Readonly<Record<string, number>> = { "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, _: 31 };

/** The bytes of a key sequence like `ctrl-p,ctrl-q` or `a,b`. Empty text is no keys. @throws invalid in docker's words, which call an exec's `escape` keys */
export function parseDetachKeys(keys: string, what: "detach" | "escape" = "detach"): Uint8Array {
  if (keys === "") return new Uint8Array(0);
  return Uint8Array.from(keys.split(","), (key) => {
    if (key.length === 1 && key.charCodeAt(0) < 256) return key.charCodeAt(0);
    const match = /^ctrl-(.)$/.exec(key);
    const name = match?.[1] ?? "";
    if (/^[a-z]$/.test(name)) return name.charCodeAt(0) - 96;
    const code = CONTROL[name];
    if (code === undefined) throw new DhowError("invalid", `Invalid ${what} keys (${keys}) provided`);
    return code;
  });
}

/** Looks for the detach sequence in what a client types, across chunks: what turns out not to be it is forwarded later, in order. */
export class DetachFilter {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** The bytes to forward, and whether the sequence is complete (what follows it is dropped). */
  feed(data: Uint8Array): { readonly forward: Uint8Array; readonly detach: boolean } {
    if (this.#keys.length === 0) return { forward: data, detach: false };
    const forward: number[] = [];
    for (const byte of data) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) return { forward: Uint8Array.from(forward), detach: true };
        continue;
      }
      // the longest end of what was typed that may still begin the sequence is kept back
      const typed = [...this.#keys.subarray(0, this.#matched), byte];
      let keep = Math.min(typed.length, this.#keys.length - 1);
      while (keep > 0 && !this.#begins(typed, keep)) keep--;
      forward.push(...typed.slice(0, typed.length - keep));
      this.#matched = keep;
    }
    return { forward: Uint8Array.from(forward), detach: false };
  }

  #begins(typed: readonly number[], length: number): boolean {
    const from = typed.length - length;
    for (let i = 0; i < length; i++) if (typed[from + i] !== this.#keys[i]) return false;
    return true;
  }
}
