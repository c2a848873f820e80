/** The longest time that a timer of JavaScript takes. */
const LONGEST_MS = 2 ** 31 - 1;

/** Calls `ring` at `atMs` (milliseconds since the epoch, also weeks ahead) by the wall clock, once, unless it is disposed of before. */
export class Alarm implements Disposable {
  readonly #atMs: number;
  readonly #ring: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(atMs: number, ring: () => void) {
    this.#atMs = atMs;
    this.#ring = ring;
    this.#wait();
  }

  #wait(): void {
    const leftMs = Math.max(0, this.#atMs - Date.now());
    this.#timer = setTimeout(() => (leftMs > LONGEST_MS ? this.#wait() : this.#ring()), Math.min(leftMs, LONGEST_MS));
    this.#timer.unref();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
