import { type IdMaps, makeUnmappedNamespaces, type UnmappedNamespaces, type UserNamespaces } from "./user-namespaces.ts";

/** How many are kept ready: each is a waiting shell. */
const SIZE = 2;
/** No refill for so long after one was taken: its container starts. */
const QUIET_MS = 80;

/** User namespaces made ahead, for a making costs two programs. None is made before the first was asked for. */
export class UserNamespacePool implements Disposable {
  readonly #ready: UnmappedNamespaces[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  /** A user namespace with these maps, nobody in it. @throws unavailable when the kernel refuses */
  async take(maps: IdMaps): Promise<UserNamespaces> {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#refill(), QUIET_MS);
    this.#timer.unref();
    const made = this.#ready.shift() ?? (await makeUnmappedNamespaces());
    return made.map(maps);
  }

  async #refill(): Promise<void> {
    try {
      while (!this.#isClosed && this.#ready.length < SIZE) {
        const made = await makeUnmappedNamespaces();
        if (this.#isClosed) made[Symbol.dispose]();
        else this.#ready.push(made);
      }
    } catch {
      // who takes one next is told why there are none
    }
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    for (const made of this.#ready.splice(0)) made[Symbol.dispose]();
  }
}
