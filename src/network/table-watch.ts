import type { Logger } from "../lib/mod.ts";
import { EPOLLIN, NftRemovals, Reactor } from "../linux/mod.ts";

/** After it was looked, so long passes before it is looked again: somebody may take them away whenever they come. */
const REST_MS = 100;
/** So long when they could not be brought back. */
const RETRY_MS = 2000;

/** Tables of the kernel that this daemon has made. */
export interface WatchedTables {
  /** What they are there for. */
  readonly purpose: string;
  /** Their name, in whichever family. */
  readonly name: string;
  /** Whether the kernel has all of them that anything depends on. @throws {NetlinkError} */
  isWhole(): boolean;
  /** Makes them anew with all that belongs into them. @throws unavailable */
  install(): void;
}

/**
 * Hears when somebody takes tables away, as `nft flush ruleset` does, or `nft -f` of a file that begins with it, and brings them back at
 * once. All of it in the namespace that this thread is in: the host's.
 */
export class TableWatch {
  readonly #tables: readonly WatchedTables[];
  readonly #log: Logger;
  /** What couldn't be brought back, by purpose: said once. */
  readonly #failing = new Map<string, string>();
  readonly #rest = new Map<WatchedTables, ReturnType<typeof setTimeout>>();
  /** What changed while it rested. */
  readonly #missed = new Set<WatchedTables>();
  #open: DisposableStack | undefined;

  /** Tables are brought back in their order. */
  constructor(tables: readonly WatchedTables[], log: Logger) {
    this.#tables = tables;
    this.#log = log;
  }

  /** The tables are there from now on. @throws {SysError} EPERM, EMFILE */
  start(): void {
    using stack = new DisposableStack();
    const removals = stack.use(new NftRemovals());
    const reactor = stack.use(new Reactor(this.#log));
    stack.use(reactor.watch(removals.fd, EPOLLIN, () => this.#hear(removals.read())));
    this.#open = stack.move();
  }

  #hear(names: ReadonlySet<string> | "any"): void {
    for (const tables of this.#tables) if (names === "any" || names.has(tables.name)) this.#look(tables);
  }

  #look(tables: WatchedTables): void {
    if (this.#rest.has(tables)) {
      this.#missed.add(tables);
      return;
    }
    const isMended = this.#mend(tables);
    if (!isMended) this.#missed.add(tables);
    const again = (): void => {
      this.#rest.delete(tables);
      if (this.#missed.delete(tables)) this.#look(tables);
    };
    this.#rest.set(tables, setTimeout(again, isMended ? REST_MS : RETRY_MS).unref());
  }

  /** Whether they are there afterwards. */
  #mend(tables: WatchedTables): boolean {
    const { purpose } = tables;
    try {
      if (!tables.isWhole()) {
        tables.install();
        this.#log.warn("somebody took nft tables away (nft flush ruleset?): they are made anew", { tables: purpose });
      }
      this.#failing.delete(purpose);
      return true;
    } catch (error) {
      const text = String(error);
      if (this.#failing.get(purpose) !== text) this.#log.error("nft tables can't be made anew", { tables: purpose, error });
      this.#failing.set(purpose, text);
      return false;
    }
  }

  close(): void {
    this.#open?.dispose();
    this.#open = undefined;
    for (const rest of this.#rest.values()) clearTimeout(rest);
    this.#rest.clear();
    this.#missed.clear();
  }
}
