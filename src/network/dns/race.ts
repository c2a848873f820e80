import { RCODE, rcodeOf } from "./message.ts";
import type { Upstream } from "./types.ts";
import { keyOf, type OnAnswer } from "./upstreams.ts";

/** How long one server is waited for before the next is asked as well. */
const HEAD_START_MS = 100;
/** How long "no such name" from a later server is held back for an earlier one, which may know better (names inside a company's network). */
const HOLD_MS = 400;
/** All of it: docker's time per server, and less than the five seconds of most clients. */
const DEADLINE_MS = 4000;
/** A server that is overtaken has so long to show that it lives. */
const PROBE_MS = 1000;
/** How long a server that didn't answer gets no head start. */
const LAGGING_MS = 10_000;

/** Which servers didn't answer lately. They are asked all the same, but nobody waits for them. */
export class Health {
  readonly #laggingUntil = new Map<string, number>();
  readonly #probed = new Set<string>();

  isLagging(upstream: Upstream): boolean {
    if (this.#laggingUntil.size === 0) return false;
    const key = keyOf(upstream);
    const until = this.#laggingUntil.get(key);
    if (until === undefined) return false;
    if (until > performance.now()) return true;
    this.#laggingUntil.delete(key);
    return false;
  }

  lags(upstream: Upstream): void {
    this.#laggingUntil.set(keyOf(upstream), performance.now() + LAGGING_MS);
  }

  answered(upstream: Upstream): void {
    if (this.#laggingUntil.size > 0) this.#laggingUntil.delete(keyOf(upstream));
  }

  /** Whether to find out if a server lives that was overtaken: by one query at a time. */
  beginProbe(upstream: Upstream): boolean {
    const key = keyOf(upstream);
    if (this.#probed.has(key) || this.isLagging(upstream)) return false;
    this.#probed.add(key);
    return true;
  }

  endProbe(upstream: Upstream): void {
    this.#probed.delete(keyOf(upstream));
  }
}

export interface RaceOptions {
  readonly upstreams: readonly Upstream[];
  readonly ask: (upstream: Upstream, onAnswer: OnAnswer) => Disposable;
  readonly health: Health;
  /** Told once: the answer that won, good until this returns; undefined when nobody gave any. */
  readonly onEnd: OnAnswer;
  /** Nothing of the race is left. */
  readonly onGone: () => void;
}

interface Attempt {
  readonly upstream: Upstream;
  /** Its place in the order. */
  readonly index: number;
  asked: Disposable | undefined;
}

/**
 * One query to several servers: in order, each with a head start before the next. The first good answer wins; SERVFAIL and REFUSED count only
 * when no other comes.
 */
export class Race implements Disposable {
  readonly #o: RaceOptions;
  readonly #attempts: Attempt[];
  readonly #deadline = performance.now() + DEADLINE_MS;
  #next = 0;
  #nextAt = 0;
  #pending = 0;
  #bad: Buffer | undefined;
  #held: { readonly answer: Buffer; readonly index: number; readonly until: number } | undefined;
  #isOver = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: RaceOptions) {
    this.#o = options;
    this.#attempts = options.upstreams.map((upstream, index) => ({ upstream, index, asked: undefined }));
  }

  /** Begins; may end at once. */
  start(): void {
    this.#advance();
  }

  /** Ends it; nobody is told. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    for (const attempt of this.#attempts) this.#drop(attempt);
  }

  /** Does what is due: ask the next, or end. */
  #advance(): void {
    const now = performance.now();
    if (now >= this.#deadline) {
      this.#giveUp();
      return;
    }
    if (this.#held !== undefined && (this.#held.until <= now || !this.#isAnyAwaitedBefore(this.#held.index))) {
      this.#end(this.#held.answer);
      return;
    }
    if (this.#pending === 0 || this.#nextAt <= now) this.#askNext(now);
    if (this.#pending === 0) {
      this.#end(this.#held?.answer ?? this.#bad);
      return;
    }
    const due = Math.min(this.#deadline, this.#held?.until ?? Number.POSITIVE_INFINITY, this.#nextAt);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#advance(), Math.max(1, due - now));
  }

  /** Asks until somebody is asked who deserves to be waited for. */
  #askNext(now: number): void {
    for (const attempt of this.#attempts.slice(this.#next)) {
      this.#next++;
      if (this.#ask(attempt) && !this.#o.health.isLagging(attempt.upstream)) break;
    }
    this.#nextAt = this.#next < this.#attempts.length ? now + HEAD_START_MS : Number.POSITIVE_INFINITY;
  }

  #ask(attempt: Attempt): boolean {
    try {
      attempt.asked = this.#o.ask(attempt.upstream, (answer) => this.#take(attempt, answer));
    } catch {
      // not to be reached: the others are asked, and without one the client is told
      return false;
    }
    this.#pending++;
    return true;
  }

  #take(attempt: Attempt, answer: Buffer | undefined): void {
    const { index } = attempt;
    attempt.asked = undefined;
    this.#pending--;
    if (answer !== undefined) this.#o.health.answered(attempt.upstream);
    if (this.#isOver) {
      this.#endProbe(attempt);
      return;
    }
    const rcode = answer === undefined ? undefined : rcodeOf(answer);
    if (answer === undefined || rcode === RCODE.SERVFAIL || rcode === RCODE.REFUSED) {
      if (answer !== undefined) this.#bad ??= Buffer.from(answer);
      // the next needn't wait for one who can't help
      this.#nextAt = Math.min(this.#nextAt, this.#next < this.#attempts.length ? 0 : Number.POSITIVE_INFINITY);
      this.#advance();
      return;
    }
    if (rcode === RCODE.NXDOMAIN && this.#isAnyAwaitedBefore(index)) {
      if (this.#held === undefined || index < this.#held.index) {
        this.#held = { answer: Buffer.from(answer), index, until: this.#held?.until ?? performance.now() + HOLD_MS };
      }
      this.#advance();
      return;
    }
    this.#end(answer);
  }

  #isAnyAwaitedBefore(index: number): boolean {
    return this.#attempts.some(({ asked, upstream, index: i }) => i < index && asked !== undefined && !this.#o.health.isLagging(upstream));
  }

  #giveUp(): void {
    for (const { asked, upstream } of this.#attempts) if (asked !== undefined) this.#o.health.lags(upstream);
    this.#end(this.#held?.answer ?? this.#bad);
  }

  #end(answer: Buffer | undefined): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    const isDecided = performance.now() < this.#deadline;
    const probed = this.#attempts.filter(({ asked, upstream }) => asked !== undefined && isDecided && this.#o.health.beginProbe(upstream));
    for (const attempt of this.#attempts) if (!probed.includes(attempt)) this.#drop(attempt);
    if (probed.length > 0) this.#timer = setTimeout(() => this.#endProbes(), PROBE_MS);
    this.#o.onEnd(answer);
    this.#goneWhenIdle();
  }

  /** An overtaken server has answered, or failed: it needs no head start then either. */
  #endProbe({ upstream }: Attempt): void {
    this.#o.health.endProbe(upstream);
    if (this.#pending === 0) clearTimeout(this.#timer);
    this.#goneWhenIdle();
  }

  #endProbes(): void {
    for (const attempt of this.#attempts) {
      if (attempt.asked === undefined) continue;
      this.#o.health.endProbe(attempt.upstream);
      this.#o.health.lags(attempt.upstream);
      this.#drop(attempt);
    }
    this.#goneWhenIdle();
  }

  #drop(attempt: Attempt): void {
    if (attempt.asked === undefined) return;
    const { asked } = attempt;
    attempt.asked = undefined;
    this.#pending--;
    asked[Symbol.dispose]();
  }

  #goneWhenIdle(): void {
    if (this.#pending === 0) this.#o.onGone();
  }
}
