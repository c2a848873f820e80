/** Readers that follow a log, asleep until there is more. */
export class Followers {
  readonly #wakes = new Set<() => void>();

  /** Resolves at the next `wake()`, or when `signal` is aborted. */
  wait(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#wakes.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#wakes.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
    });
  }

  wake(): void {
    if (this.#wakes.size === 0) return;
    for (const wake of [...this.#wakes]) wake();
  }
}
