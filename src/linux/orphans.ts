import { libc } from "./libc.ts";
import { setChildSubreaper } from "./process.ts";

const P_ALL = 0;
const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
/** siginfo_t, and where its si_pid is on 64-bit machines, as an index of 32-bit words. */
const SIGINFO_BYTES = 128;
const SI_PID = 4;
/** Longer than a turn of the event loop, in which the children that this process started itself are waited for. */
const SECOND_LOOK_MS = 20;

/** The pid of a child that has ended and that nobody has waited for yet; it stays as it is. Undefined when there is none. */
export function endedChild(): number | undefined {
  const info = new Int32Array(SIGINFO_BYTES / 4);
  if (libc.symbols.waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) < 0) return undefined;
  return info[SI_PID] || undefined;
}

/**
 * Makes this process the parent of its orphaned descendants, and waits for those that have ended: whoever was the last to know of
 * them. The machine's init would do it, but the first process of a container often does not; and as long as a dead process of a pid
 * namespace is not waited for, the namespace's own init can't end.
 *
 * A child that this process started itself is waited for by the runtime within a turn of the event loop: one that has ended, and is
 * still there at a second look, is an orphan.
 */
export class OrphanReaper implements Disposable {
  readonly #timer: Timer;
  #second: Timer | undefined;
  #suspect = 0;

  /** Looks every `everyMs` milliseconds, without keeping the process alive. @throws {SysError} */
  constructor(everyMs: number) {
    setChildSubreaper(true);
    this.#timer = setInterval(() => this.look(), everyMs).unref();
  }

  /** Looks now: for where an orphan is known to have come, and something waits for its end. */
  look(): void {
    if (this.#second === undefined) this.#look();
  }

  #look(): void {
    this.#second = undefined;
    let pid = endedChild();
    if (pid !== undefined && pid === this.#suspect) {
      libc.symbols.waitid(P_PID, pid, new Int32Array(SIGINFO_BYTES / 4), WEXITED | WNOHANG);
      pid = endedChild();
    }
    this.#suspect = pid ?? 0;
    if (pid !== undefined) this.#second = setTimeout(() => this.#look(), SECOND_LOOK_MS).unref();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    clearTimeout(this.#second);
    setChildSubreaper(false);
  }
}
