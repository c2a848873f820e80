import { madviseTrim } from "../linux/mod.ts";

const LOOK_MS = 1000;
const LOOK_MOST_MS = 8000;
/** Share of a processor that means work even without a request; a collection and compilers of hot code come to less. */
const BUSY_SHARE = 0.25;
const BUSY_MS = 30_000;
/** Who works by hand, or runs one test after the other, finds the daemon's code in memory. */
const QUIET_MS = 3000;
/** What goes on for a while after the last request, such as making sandboxes ahead, brings pages back. */
const TRIMS = 3;
const GROWTH_BYTES = 4 * 1024 * 1024;

/**
 * Gives memory back once the daemon has had nothing to do for a while and has grown: garbage, and the pages of code that it used once (what is needed again
 * comes from the page cache). While it always has something to do, the pages alone, and not often: 20 ms in which nothing else is done.
 * Looks less and less often while nothing happens.
 */
export class MemoryKeeper implements Disposable {
  #last = process.cpuUsage();
  #isTouched = true;
  #busyMs = 0;
  #quietMs = 0;
  #trimmedBytes = 0;
  #trimsLeft = TRIMS;
  #waitMs = LOOK_MS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.#plan(LOOK_MS);
  }

  /** A client is there: there will be something to give back. */
  touch(): void {
    this.#isTouched = true;
    if (this.#waitMs > LOOK_MS) this.#plan(LOOK_MS);
  }

  #plan(waitMs: number): void {
    clearTimeout(this.#timer);
    this.#waitMs = waitMs;
    this.#timer = setTimeout(() => this.#look(), waitMs);
    this.#timer.unref();
  }

  #look(): void {
    const { user, system } = process.cpuUsage(this.#last);
    const isBusy = this.#isTouched || user + system > this.#waitMs * BUSY_SHARE * 1000;
    this.#isTouched = false;
    if (isBusy) this.#whileBusy();
    else this.#whileQuiet();
    this.#last = process.cpuUsage();
    this.#plan(isBusy ? LOOK_MS : Math.min(this.#waitMs * 2, LOOK_MOST_MS));
  }

  #whileBusy(): void {
    this.#trimsLeft = TRIMS;
    this.#quietMs = 0;
    this.#busyMs += this.#waitMs;
    if (this.#busyMs >= BUSY_MS) this.#trim();
  }

  #whileQuiet(): void {
    this.#busyMs = 0;
    this.#quietMs += this.#waitMs;
    if (this.#quietMs < QUIET_MS || this.#trimsLeft === 0 || process.memoryUsage.rss() < this.#trimmedBytes + GROWTH_BYTES) return;
    Bun.gc(true);
    this.#trim();
    this.#trimsLeft--;
  }

  #trim(): void {
    madviseTrim();
    this.#busyMs = 0;
    this.#trimmedBytes = process.memoryUsage.rss();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
