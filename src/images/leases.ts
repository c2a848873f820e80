/** Counts who holds what: an object that is held must not be collected. */
export class Leases<T> {
  readonly #counts = new Map<T, number>();

  /** Holds `keys` until the returned lease is disposed of. */
  hold(keys: Iterable<T>): Disposable {
    const held = [...keys];
    for (const key of held) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return { [Symbol.dispose]: () => this.#release(held.splice(0)) };
  }

  has(key: T): boolean {
    return this.#counts.has(key);
  }

  #release(keys: readonly T[]): void {
    for (const key of keys) {
      const left = (this.#counts.get(key) ?? 1) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    }
  }
}
