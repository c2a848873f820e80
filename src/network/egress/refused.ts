const MAX_REFUSED = 256;
/** So much of one container is told in a minute: events of others must not be lost for it. */
const MAX_TOLD = 20;
const TOLD_MS = 60_000;
/** Names that are not told are written down so often at most. */
const WRITE_MS = 1000;

/** A name that was refused. */
export interface RefusedName {
  readonly name: string;
  readonly queries: number;
  /** In ms since 1970. */
  readonly lastAt: number;
}

/** The names that one container was refused, the last one last. */
export class RefusedNames {
  readonly #names: Map<string, RefusedName>;
  readonly #write: () => void;
  #told = { since: 0, count: 0 };
  #isWritten = true;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `write` puts `list` where the next daemon finds it; it does not throw. */
  constructor(names: readonly RefusedName[], write: () => void) {
    this.#names = new Map(names.map((refused) => [refused.name, refused]));
    this.#write = write;
  }

  list(): RefusedName[] {
    return [...this.#names.values()];
  }

  /** Notes a query. Whether it is to be told of: a new name, within what may be told. That is written down at once, others in a moment. */
  note(name: string): boolean {
    const known = this.#names.get(name);
    if (known === undefined && this.#names.size >= MAX_REFUSED) {
      const [oldest] = this.#names.keys();
      this.#names.delete(oldest ?? "");
    }
    this.#names.delete(name);
    this.#names.set(name, { name, queries: (known?.queries ?? 0) + 1, lastAt: Date.now() });
    this.#isWritten = false;
    if (known !== undefined) return false;
    const isTold = this.mayTell();
    if (isTold) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), WRITE_MS).unref();
    return isTold;
  }

  /** Whether one more denial of this container is told of; counts it. */
  mayTell(): boolean {
    const { since, count } = this.#told;
    const isOver = Date.now() - since > TOLD_MS;
    this.#told = isOver ? { since: Date.now(), count: 1 } : { since, count: count + 1 };
    return isOver || count < MAX_TOLD;
  }

  /** Writes down what is not yet. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isWritten) return;
    this.#isWritten = true;
    this.#write();
  }
}
