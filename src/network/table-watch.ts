import type { Logger } from "../lib/mod.ts";

/** How often it is looked. */
const WATCH_MS = 2000;

/** Tables of the kernel that this daemon has made. */
export interface WatchedTables {
  /** What they are there for. */
  readonly purpose: string;
  /** Whether anything depends on them now. */
  isNeeded(): boolean;
  /** @throws {NetlinkError} */
  isWhole(): boolean;
  /** Makes them anew with all that belongs into them. @throws unavailable */
  reinstall(): void;
}

/**
 * Looks whether somebody has taken tables away, as `nft flush ruleset` does, or `nft -f` of a file that begins with it, and brings them back.
 * What is needed by nothing is not looked at. All of it in the namespace that this thread is in: the host's.
 */
export class TableWatch {
  readonly #tables: readonly WatchedTables[];
  readonly #log: Logger;
  /** What couldn't be brought back, by purpose: said once. */
  readonly #failing = new Map<string, string>();
  #timer: ReturnType<typeof setInterval> | undefined;

  /** Tables are brought back in their order. */
  constructor(tables: readonly WatchedTables[], log: Logger) {
    this.#tables = tables;
    this.#log = log;
  }

  /** Something may need the tables from now on. */
  start(): void {
    this.#timer ??= setInterval(() => this.#look(), WATCH_MS).unref();
  }

  #look(): void {
    const needed = this.#tables.filter((tables) => tables.isNeeded());
    if (needed.length === 0) this.close();
    for (const tables of needed) this.#mend(tables);
  }

  #mend(tables: WatchedTables): void {
    const { purpose } = tables;
    try {
      if (!tables.isWhole()) {
        tables.reinstall();
        this.#log.warn("somebody took nft tables away (nft flush ruleset?): they are made anew", { tables: purpose });
      }
      this.#failing.delete(purpose);
    } catch (error) {
      const text = String(error);
      if (this.#failing.get(purpose) !== text) this.#log.error("nft tables can't be made anew", { tables: purpose, error });
      this.#failing.set(purpose, text);
    }
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
