import { readFileSync } from "node:fs";
import { DhowError, formatTime, type Logger, nowNs, randomId, shortId } from "../../lib/mod.ts";
import { EPOLLIN, type Fd, isErrno, pidfdOpen, procStartTime, type Reactor } from "../../linux/mod.ts";
import type { CallOptions, Filters, Lease, LeaseCreateRequest, LeaseEnd, LeasesApi } from "../../spec/engine/mod.ts";
import { Alarm } from "./alarm.ts";
import { type LeaseBook, type LeaseEntry, leaseDto, ownFilters, parseTtl } from "./book.ts";
import { type Reapable, reap } from "./reap.ts";

const DEFAULT_GRACE_S = 10;
/** How long a new lease waits for the first connection that holds it. */
const FIRST_HOLD_MS = 60_000;
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const BOOT_ID = "/proc/sys/kernel/random/boot_id";
/** What can't be removed is tried again: after 1 s, 2 s, 4 s, … */
const ATTEMPTS = 6;

export interface LeasesDeps {
  readonly book: LeaseBook;
  readonly engine: Reapable;
  readonly reactor: Reactor;
  readonly log: Logger;
}

/** What watches a lease's owner. */
interface Watches extends Disposable {
  expiry?: Alarm;
  grace?: Alarm;
  process?: Disposable;
}

/** A lease that is held until it is disposed of. */
export interface Hold extends Disposable {
  readonly id: string;
  /** Settles when the lease has ended. */
  readonly ended: Promise<void>;
}

/** Owner-bound objects: watches owners, and removes what belonged to those that ended. */
export class Leases implements LeasesApi {
  readonly #deps: LeasesDeps;
  readonly #watches = new Map<string, Watches>();
  readonly #bootId = readFileSync(BOOT_ID, "utf8").trim();

  constructor(deps: LeasesDeps) {
    this.#deps = deps;
  }

  /** At the daemon's start: goes on with ends that were begun, and watches the other owners. Connections have the grace to come back. */
  start(): void {
    for (const entry of this.#deps.book.list()) {
      if (entry.row.ending === 1) this.#endSoon(entry, "its end had begun");
      else this.#watch(entry, entry.row.graceS * 1000);
    }
  }

  stop(): void {
    for (const watches of this.#watches.values()) watches[Symbol.dispose]();
    this.#watches.clear();
  }

  async create(request: LeaseCreateRequest): Promise<Lease> {
    const { TTL = "", Pid = 0, Hold = false } = request;
    if (TTL === "" && Pid === 0 && !Hold) {
      throw new DhowError("invalid", "a lease needs an end: give it a TTL, the Pid of its owner, or Hold");
    }
    const ttlMs = TTL === "" ? undefined : parseTtl(TTL, "TTL");
    return leaseDto(this.#add({ ...request, Pid, Hold, ttlMs }));
  }

  #add(
    request: Omit<LeaseCreateRequest, "TTL"> & { readonly ttlMs?: number | undefined; readonly filters?: readonly Filters[] },
  ): LeaseEntry {
    const { Pid = 0, Hold = false, GraceSeconds = DEFAULT_GRACE_S, ttlMs, filters } = request;
    if (!Number.isSafeInteger(GraceSeconds) || GraceSeconds < 0) throw new DhowError("invalid", "GraceSeconds must be 0 or more");
    const id = randomId();
    const name = request.Name || shortId(id);
    if (!NAME.test(name)) throw new DhowError("invalid", `Invalid lease name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
    const entry = this.#deps.book.add({
      id,
      name,
      createdAt: formatTime(nowNs()),
      expiresMs: ttlMs === undefined ? null : Date.now() + ttlMs,
      pid: Pid,
      process: Pid === 0 ? "" : this.#identify(Pid),
      hold: Hold ? 1 : 0,
      graceS: GraceSeconds,
      filters: JSON.stringify(filters ?? ownFilters(id)),
      images: "[]",
      ending: 0,
    });
    this.#watch(entry, Math.max(FIRST_HOLD_MS, GraceSeconds * 1000));
    return entry;
  }

  async list(): Promise<Lease[]> {
    return this.#deps.book.list().map(leaseDto);
  }

  async inspect(ref: string): Promise<Lease> {
    return leaseDto(this.#deps.book.get(ref));
  }

  async renew(ref: string, ttl: string): Promise<Lease> {
    const ttlMs = parseTtl(ttl, "TTL");
    const entry = this.#deps.book.get(ref);
    this.#deps.book.change(entry, { expiresMs: Date.now() + ttlMs });
    this.#watchTime(entry);
    return leaseDto(entry);
  }

  async addImage(ref: string, image: string): Promise<void> {
    if (image === "") throw new DhowError("invalid", "the name of an image is missing");
    const entry = this.#deps.book.get(ref);
    const images = JSON.parse(entry.row.images) as string[];
    if (!images.includes(image)) this.#deps.book.change(entry, { images: JSON.stringify([...images, image]) });
  }

  async hold(ref: string, { signal }: CallOptions): Promise<AsyncIterable<Lease>> {
    const entry = this.#deps.book.get(ref);
    const hold = this.#hold(entry);
    const gone = Promise.withResolvers<void>();
    const release = (): void => {
      hold[Symbol.dispose]();
      gone.resolve();
    };
    // at once, and not when the stream is asked for more: its client has gone
    signal?.addEventListener("abort", release, { once: true });
    if (signal?.aborted) release();
    return (async function* () {
      try {
        yield leaseDto(entry);
        await Promise.race([hold.ended, gone.promise]);
      } finally {
        signal?.removeEventListener("abort", release);
        release();
      }
    })();
  }

  /** Holds the lease on what passes `filters`, shared by everybody who asks for the same; it is made when there is none. */
  holdFilters(name: string, filters: Filters, graceS: number): Hold {
    const known = this.#deps.book.list().find(({ row }) => row.name === name && row.ending === 0);
    return this.#hold(known ?? this.#add({ Name: name, Hold: true, GraceSeconds: graceS, filters: [filters] }));
  }

  #hold(entry: LeaseEntry): Hold {
    entry.holders++;
    this.#watches.get(entry.row.id)?.grace?.[Symbol.dispose]();
    let isHeld = true;
    return {
      id: entry.row.id,
      ended: entry.ended.promise,
      [Symbol.dispose]: () => {
        if (!isHeld) return;
        isHeld = false;
        entry.holders--;
        if (entry.holders === 0 && entry.row.hold === 1) this.#watchGrace(entry, entry.row.graceS * 1000);
      },
    };
  }

  async remove(ref: string, { keep }: { readonly keep: boolean }): Promise<LeaseEnd> {
    const entry = this.#deps.book.get(ref);
    if (!keep) return this.#end(entry);
    this.#unwatch(entry);
    this.#deps.book.delete(entry);
    return { Containers: [], Networks: [], Volumes: [], Images: [] };
  }

  #watch(entry: LeaseEntry, firstHoldMs: number): void {
    const watches: Watches = {
      [Symbol.dispose]: () => {
        for (const watch of [watches.expiry, watches.grace, watches.process]) watch?.[Symbol.dispose]();
      },
    };
    this.#watches.set(entry.row.id, watches);
    this.#watchTime(entry);
    if (entry.row.hold === 1) this.#watchGrace(entry, firstHoldMs);
    if (entry.row.pid !== 0) this.#watchProcess(entry, watches);
  }

  #unwatch({ row }: LeaseEntry): void {
    this.#watches.get(row.id)?.[Symbol.dispose]();
    this.#watches.delete(row.id);
  }

  #watchTime(entry: LeaseEntry): void {
    const watches = this.#watches.get(entry.row.id);
    watches?.expiry?.[Symbol.dispose]();
    const { expiresMs } = entry.row;
    if (watches && expiresMs !== null) watches.expiry = new Alarm(expiresMs, () => this.#endSoon(entry, "its time is over"));
  }

  #watchGrace(entry: LeaseEntry, ms: number): void {
    const watches = this.#watches.get(entry.row.id);
    watches?.grace?.[Symbol.dispose]();
    if (watches) watches.grace = new Alarm(Date.now() + ms, () => this.#endSoon(entry, "nobody holds it"));
  }

  #watchProcess(entry: LeaseEntry, watches: Watches): void {
    const gone = (): void => this.#endSoon(entry, "its process has ended");
    let pidfd: Fd;
    try {
      pidfd = pidfdOpen(entry.row.pid);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
      gone();
      return;
    }
    // asked after it was pinned: another process may have the pid by now
    if (this.#processNow(entry.row.pid) !== entry.row.process) {
      pidfd.close();
      gone();
      return;
    }
    const watch = this.#deps.reactor.watch(pidfd.fd, EPOLLIN, gone);
    watches.process = {
      [Symbol.dispose]: () => {
        watch[Symbol.dispose]();
        pidfd.close();
      },
    };
  }

  #identify(pid: number): string {
    const found = this.#processNow(pid);
    if (!Number.isSafeInteger(pid) || pid < 1 || found === undefined) throw new DhowError("invalid", `no process has the pid ${pid}`);
    return found;
  }

  #processNow(pid: number): string | undefined {
    const startedAt = procStartTime(pid);
    return startedAt === undefined ? undefined : `${this.#bootId}:${startedAt}`;
  }

  #endSoon(entry: LeaseEntry, reason: string): void {
    this.#deps.log.info("lease ends", { lease: entry.row.name, reason });
    this.#end(entry).catch((error: unknown) => {
      this.#deps.log.error("lease ended, but not everything that belonged to it could be removed", { lease: entry.row.name, error });
    });
  }

  /** Noted before anything is taken away: the next daemon goes on with it. */
  async #end(entry: LeaseEntry): Promise<LeaseEnd> {
    const { book, engine } = this.#deps;
    this.#unwatch(entry);
    try {
      book.end(entry);
    } catch (error) {
      this.#deps.log.warn("the end of a lease could not be noted", { lease: entry.row.name, error });
    }
    const belongings = { filters: JSON.parse(entry.row.filters) as Filters[], images: JSON.parse(entry.row.images) as string[] };
    try {
      for (let attempt = 1; ; attempt++) {
        try {
          return await reap(engine, belongings);
        } catch (error) {
          if (attempt === ATTEMPTS) throw error;
        }
        await Bun.sleep(1000 * 2 ** (attempt - 1));
      }
    } finally {
      book.delete(entry);
    }
  }
}
