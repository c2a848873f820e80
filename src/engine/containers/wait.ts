import type { ContainerWaitResponse, WaitCondition } from "../../spec/engine/mod.ts";
import { isRunning } from "./container.ts";
import type { Container } from "./store.ts";

interface Waiter {
  readonly condition: WaitCondition;
  readonly resolve: (response: ContainerWaitResponse) => void;
}

/** Who waits for which container's end; settled by the exit and the removal of containers. */
export class Waiters {
  readonly #waiting = new Map<string, Set<Waiter>>();

  /** Registers a wait; the promise settles when `condition` is met, at once when it is met already. */
  wait(container: Container, condition: WaitCondition, signal: AbortSignal | undefined): Promise<ContainerWaitResponse> {
    const { state } = container;
    if (condition === "not-running" && !isRunning(state) && state.status !== "restarting") {
      return Promise.resolve({ StatusCode: state.exitCode });
    }
    return new Promise((resolve) => {
      const waiter: Waiter = { condition, resolve };
      const all = this.#waiting.get(container.id) ?? new Set();
      this.#waiting.set(container.id, all.add(waiter));
      signal?.addEventListener("abort", () => {
        all.delete(waiter);
        resolve({ StatusCode: state.exitCode });
      });
    });
  }

  /** The container's process ended, whether its policy starts it again or not. */
  exited(id: string, exitCode: number): void {
    this.#settle(id, exitCode, (c) => c !== "removed");
  }

  /** The container is gone: nobody waits for it any longer. */
  removed(id: string, exitCode: number, error?: string): void {
    this.#settle(id, exitCode, () => true, error);
    this.#waiting.delete(id);
  }

  #settle(id: string, exitCode: number, isMet: (condition: WaitCondition) => boolean, error?: string): void {
    const all = this.#waiting.get(id);
    if (!all) return;
    for (const waiter of [...all]) {
      if (!isMet(waiter.condition)) continue;
      all.delete(waiter);
      waiter.resolve(error === undefined ? { StatusCode: exitCode } : { StatusCode: exitCode, Error: { Message: error } });
    }
    if (all.size === 0) this.#waiting.delete(id);
  }
}
