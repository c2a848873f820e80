/** Work that goes on after its caller was answered, so that who ends the engine can wait for it. */
export class Background {
  readonly #running = new Set<Promise<void>>();

  /** Runs `work` when those who wait now have been answered; its failure is `onFailure`'s. */
  later(work: () => void | Promise<void>, onFailure: (error: unknown) => void): void {
    const run = async (): Promise<void> => {
      await new Promise<void>((resolve) => {
        setImmediate(resolve);
      });
      await work();
    };
    const running = run()
      .catch(onFailure)
      .finally(() => this.#running.delete(running));
    this.#running.add(running);
  }

  /** Resolves when what runs now has ended. */
  async settled(): Promise<void> {
    await Promise.all(this.#running);
  }

  /** Resolves when nothing of it runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
