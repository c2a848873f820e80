/** One queue per key: work on the same object runs in turn, work on different objects side by side. */
export class KeyedMutex {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `work` when everything queued before it for `key` has ended; failures of earlier work don't matter. */
  run<T>(key: string, work: () => T | Promise<T>): Promise<T> {
    const before = this.#tails.get(key);
    const result = before ? before.then(work, work) : (async () => work())();
    const tail = result.catch(() => {});
    this.#tails.set(key, tail);
    void tail.then(() => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key);
    });
    return result;
  }

  /** Whether something runs or waits for `key`. */
  isBusy(key: string): boolean {
    return this.#tails.has(key);
  }
}
