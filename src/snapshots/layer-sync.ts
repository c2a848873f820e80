import { dirname } from "node:path";
import type { ChainId, Logger } from "../lib/mod.ts";

const DELAY_MS = 1000;

/** The layers that the kernel has yet to write to the disk. */
export interface SyncRecords {
  unsynced(): readonly { readonly chainId: ChainId }[];
  setSynced(chain: ChainId): void;
}

export interface LayerSyncOptions {
  readonly records: SyncRecords;
  /** Where a layer is; all of them are in one directory. */
  readonly directoryOf: (chain: ChainId) => string;
  readonly log: Logger;
  readonly delayMs?: number;
}

/**
 * Has the kernel write new layers to the disk, behind everybody's back: syncfs(2) can take seconds, so another process waits for it.
 * Until then the layers' records say so; without it they stay marked, and are checked after the next boot.
 */
export class LayerSync {
  readonly #options: LayerSyncOptions;
  #running: Promise<void> | undefined;

  constructor(options: LayerSyncOptions) {
    this.#options = options;
  }

  /** There is something to be written. */
  soon(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Waits for what goes on. */
  async drain(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { delayMs = DELAY_MS } = this.#options;
    do await new Promise<void>((resolve) => void setTimeout(resolve, delayMs).unref());
    while (await this.#sync());
  }

  /** Returns whether others have come while it went on. */
  async #sync(): Promise<boolean> {
    const { records, directoryOf, log } = this.#options;
    try {
      const layers = records.unsynced();
      const [first] = layers;
      if (first === undefined) return false;
      // a layer's own directory may be gone by now
      const process = Bun.spawn(["sync", "-f", dirname(directoryOf(first.chainId))], { stdio: ["ignore", "ignore", "ignore"] });
      process.unref();
      if ((await process.exited) !== 0) return false;
      for (const { chainId } of layers) records.setSynced(chainId);
      return records.unsynced().length > 0;
    } catch (error) {
      log.debug("sync layers failed", { error });
      return false;
    }
  }
}
