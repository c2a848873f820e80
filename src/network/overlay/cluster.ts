import { setTimeout as sleep } from "node:timers/promises";
import { DhowError, errorMessage, type Logger, randomId } from "../../lib/mod.ts";
import { CompactedError, type Compare, type Etcd, type Operation } from "./etcd.ts";

/** Where it all is in etcd, unless `kv.path` says otherwise. */
export const DEFAULT_ROOT = "dhow/overlay";

export interface ClusterOptions {
  readonly etcd: Etcd;
  /** What this host is called; the same in every life of its daemon. */
  readonly hostId: string;
  /** The address that other hosts send to. */
  readonly vtep: string;
  readonly log: Logger;
  /** How long the others wait for a host that says nothing. */
  readonly ttlSeconds: number;
  readonly heartbeatSeconds: number;
  /** Where in etcd; empty: `DEFAULT_ROOT`. */
  readonly root: string;
}

/** Told of every change, of one key at a time; undefined: the key is gone. */
export type Listener = (key: string, value: string | undefined) => void;

const RETRY_MS = 500;
const MAX_RETRY_MS = 5000;
/** Containers that start with the daemon may be quicker than its first look at etcd. */
const FIRST_LOOK_MS = 5000;
const CATCH_UP_MS = 2000;

/** So long a host that finds its name in use waits for who has it to say so. */
const OBJECTION_MS = 2000;

/** How a host introduces itself. */
interface HostEntry {
  readonly host: string;
  readonly vtep: string;
  /** Another one in each life of its daemon. */
  readonly life: string;
  /** The revision of etcd at which that began. */
  readonly since: number;
}

/** What a value says of its owner. */
function ownerOf(value: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === "object" && parsed !== null && "host" in parsed && typeof parsed.host === "string" ? parsed.host : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What hosts tell each other through etcd. Each host sees a copy of everything, and keeps its own keys there under a lease:
 *
 *     <root>/allocation                        names, VNIs and subnets of all networks: {"names", "vnis", "subnets"}
 *     <root>/networks/<network id>             a network's configuration
 *     <root>/removals/<network id>             the id of the host that removed it             for a day
 *     <root>/hosts/<host id>                   {"host", "vtep", "life", "since"}              leased
 *     <root>/addresses/<network id>/<ip>       {"host", "claim"}                              leased
 *     <root>/endpoints/<network id>/<id>       {"host", "vtep", "mac", "addresses", "names"}  leased
 *     <root>/marks/<host id>                   where a host's own copy has to come to         leased
 *
 * While etcd is away the copy stays as it is. When it is back, everything is read anew, and the host's own keys are put right: what it
 * holds is there again, what it doesn't hold any more goes.
 *
 * Of two daemons that call themselves by one host id, as those of a copied data root do, the one that was there first stays.
 */
export class Cluster {
  readonly #o: ClusterOptions;
  readonly #root: string;
  readonly #copy = new Map<string, string>();
  /** Keys of this host's, as they are to be. */
  readonly #held = new Map<string, string>();
  readonly #listeners = new Set<Listener>();
  readonly #stopped = new AbortController();
  #again: AbortController | undefined;
  #lease: string | undefined;
  #isReached = false;
  readonly #life = randomId();
  /** When this life was introduced; 0: not yet. */
  #since = 0;
  /** The life that had this host's id already. */
  #elder: string | undefined;
  /** Why etcd isn't there. */
  #fault = "";
  /** Resolved once etcd was reached. */
  readonly #reached = Promise.withResolvers<void>();
  #onSync: () => void = () => {};
  #running: Promise<void> | undefined;

  constructor(options: ClusterOptions) {
    this.#o = options;
    this.#root = `${options.root || DEFAULT_ROOT}/`;
    this.#listeners.add((key, value) => this.#lookAtHost(key, value));
  }

  get hostId(): string {
    return this.#o.hostId;
  }

  get vtep(): string {
    return this.#o.vtep;
  }

  /** Whether the copy is what etcd has now. */
  get isReached(): boolean {
    return this.#isReached;
  }

  /** Begins to copy, and to keep this host's keys, until `stop`; calls `onSync` whenever everything was read anew. */
  start(onSync: () => void = () => {}): void {
    this.#onSync = onSync;
    this.#running = this.#run();
  }

  /** Ends it. The host's keys stay until their lease ends: its containers go on, and a next daemon takes them up. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  /** Calls `listener` with every change from now on. */
  listen(listener: Listener): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** The keys below `prefix`, as far as they are known. */
  entries(prefix: string): [key: string, value: string][] {
    return [...this.#copy].filter(([key]) => key.startsWith(prefix));
  }

  /** One key as etcd has it now. @throws unavailable */
  async read(key: string): Promise<{ readonly value: string; readonly modRevision: number } | undefined> {
    return this.#o.etcd.get(this.#root + key);
  }

  /** @throws unavailable; see `Etcd.transact` */
  transact(compares: readonly Compare[], operations: readonly Operation[]): Promise<boolean> {
    const root = this.#root;
    return this.#o.etcd.transact(
      compares.map((compare) => ({ ...compare, key: root + compare.key })),
      operations.map((operation) =>
        "put" in operation ? { ...operation, put: root + operation.put } : { ...operation, delete: root + operation.delete },
      ),
    );
  }

  /**
   * Takes a key that nobody has, for as long as this host is there and holds it; whether it got it. `network` must be there still.
   * @throws unavailable
   */
  async claim(key: string, value: string, network: string): Promise<boolean> {
    if (this.#since === 0) await Promise.race([this.#reached.promise, sleep(FIRST_LOOK_MS, undefined, { ref: false })]);
    const lease = this.#lease;
    if (lease === undefined || this.#since === 0)
      throw new DhowError("unavailable", this.#fault || `etcd can't be reached (${this.#o.etcd.place})`);
    const isThere: Compare = { key: `networks/${network}`, isPresent: true };
    const operations = [{ put: key, value, lease }];
    // held first: whoever puts this host's keys right meanwhile must not take it for a leftover
    this.#held.set(key, value);
    let isClaimed = false;
    try {
      isClaimed = await this.transact([{ key, isAbsent: true }, isThere], operations);
      if (!isClaimed) isClaimed = (await this.read(key))?.value === value;
    } catch (error) {
      // it may have been done all the same: then what is not held goes
      this.#again?.abort();
      throw error;
    } finally {
      if (!isClaimed) this.#held.delete(key);
    }
    if (isClaimed) this.#put(key, value);
    return isClaimed;
  }

  /** A lease that nobody keeps: what is put under it is gone after so many seconds by etcd's clock. @throws unavailable */
  grantTimer(seconds: number): Promise<string> {
    return this.#o.etcd.grantLease(seconds);
  }

  /** @throws unavailable */
  revokeTimer(lease: string): Promise<void> {
    return this.#o.etcd.revokeLease(lease);
  }

  /** Waits until the copy has all that was in etcd when this was called; for a moment only, and not at all while etcd is away. */
  async catchUp(): Promise<void> {
    if (!this.#isReached) return;
    const [key, mark] = [`marks/${this.hostId}`, randomId()];
    const seen = Promise.withResolvers<void>();
    using _ = this.listen((changed, value) => changed === key && value === mark && seen.resolve());
    try {
      await this.transact([], [{ put: key, value: mark, lease: this.#lease }]);
      await Promise.race([seen.promise, sleep(CATCH_UP_MS, undefined, { ref: false })]);
    } catch (error) {
      this.#o.log.debug("etcd is away: its changes come when it is back", { error: errorMessage(error) });
    }
  }

  /** Holds a key that this host had in a former life of its daemon: put again where it is gone, unless somebody else took it. */
  hold(key: string, value: string): void {
    this.#held.set(key, value);
    if (this.#isReached) this.#again?.abort();
  }

  /** What is held under a key. */
  heldValue(key: string): string | undefined {
    return this.#held.get(key);
  }

  /** Gives a key back, now or as soon as etcd is there again. */
  async release(key: string): Promise<void> {
    const value = this.#held.get(key);
    if (value === undefined) return;
    this.#held.delete(key);
    try {
      await this.transact([{ key, value }], [{ delete: key }]);
    } catch (error) {
      this.#o.log.warn("etcd is away: an entry goes when it is back", { key, error: errorMessage(error) });
    }
  }

  async #run(): Promise<void> {
    const { log } = this.#o;
    const { signal } = this.#stopped;
    for (let waitMs = RETRY_MS; !signal.aborted; ) {
      this.#again = new AbortController();
      try {
        await this.#follow(AbortSignal.any([signal, this.#again.signal]));
        waitMs = RETRY_MS;
        continue;
      } catch (error) {
        if (error instanceof CompactedError) continue;
        if (signal.aborted) return;
        const fault = errorMessage(error);
        if (this.#isReached) waitMs = RETRY_MS;
        if (this.#isReached || fault !== this.#fault) log.warn("etcd can't be used: traffic goes on, changes wait", { error: fault });
        this.#fault = fault;
        this.#isReached = false;
      }
      await sleep(waitMs, undefined, { signal }).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, MAX_RETRY_MS);
    }
  }

  /** Reads everything, puts right what is this host's, then follows the changes. @throws unavailable */
  async #follow(signal: AbortSignal): Promise<void> {
    const { etcd } = this.#o;
    await this.#ensureLease();
    const { revision, entries } = await etcd.list(this.#root);
    const found = new Map(entries.map(({ key, value }) => [key.slice(this.#root.length), value]));
    for (const key of [...this.#copy.keys()]) if (!found.has(key)) this.#put(key, undefined);
    for (const [key, value] of found) this.#put(key, value);
    await this.#introduce(found.get(this.#own), revision);
    await this.#putRight(found);
    if (!this.#isReached) this.#o.log.info("etcd is there", { endpoints: etcd.place, host: this.hostId, vtep: this.vtep });
    this.#isReached = true;
    this.#reached.resolve();
    this.#onSync();
    const beat = setInterval(() => void this.#beat(), this.#o.heartbeatSeconds * 1000);
    beat.unref();
    try {
      for await (const { events } of etcd.watch(this.#root, revision + 1, signal)) {
        for (const { key, value } of events) {
          const name = key.slice(this.#root.length);
          this.#put(name, value);
          // somebody took away what is this host's: its lease has ended, or an operator did
          if (value === undefined && this.#held.has(name)) this.#again?.abort();
        }
      }
    } finally {
      clearInterval(beat);
    }
  }

  get #own(): string {
    return `hosts/${this.hostId}`;
  }

  /** Says that this host is there. @throws conflict while another daemon is there under its id */
  async #introduce(present: string | undefined, revision: number): Promise<void> {
    const entry: HostEntry = { host: this.hostId, vtep: this.vtep, life: this.#life, since: this.#since || revision };
    const other = present === undefined ? undefined : (JSON.parse(present) as HostEntry);
    // one with this host's address is a former life of this daemon
    const isElse = other !== undefined && other.life !== this.#life && other.vtep !== this.vtep;
    if (isElse && this.#since === 0) {
      if (other.life === this.#elder) throw this.#isTaken(other);
      await this.transact(
        [{ key: this.#own, value: present ?? "" }],
        [{ put: this.#own, value: JSON.stringify(entry), lease: this.#lease }],
      );
      await sleep(OBJECTION_MS, undefined, { signal: this.#stopped.signal });
      const now = await this.read(this.#own);
      const elder = now === undefined ? undefined : (JSON.parse(now.value) as HostEntry);
      if (elder !== undefined && elder.life !== this.#life) {
        this.#elder = elder.life;
        throw this.#isTaken(elder);
      }
    }
    this.#since = entry.since;
    this.#held.set(this.#own, JSON.stringify(entry));
  }

  #isTaken({ vtep }: HostEntry): DhowError {
    const text = `another daemon, at ${vtep}, has the id ${this.hostId} of this host; was its data root copied? Give each host one of its own`;
    return new DhowError("conflict", text);
  }

  /** Objects to who takes this host's id, and says so when one has its address. */
  #lookAtHost(key: string, value: string | undefined): void {
    if (!key.startsWith("hosts/") || value === undefined) return;
    const { host, vtep, life } = JSON.parse(value) as HostEntry;
    if (host !== this.hostId && vtep === this.vtep) {
      this.#o.log.error("another host has the address of this one: what is sent there gets to one of them", { address: vtep, host });
    }
    if (host === this.hostId && this.#since > 0 && life !== this.#life) {
      this.#o.log.error("another daemon wants to have the id of this host: was the data root copied?", { address: vtep, host });
      this.#again?.abort();
    }
  }

  async #ensureLease(): Promise<void> {
    const { etcd, ttlSeconds } = this.#o;
    if (this.#lease !== undefined && (await etcd.keepLease(this.#lease))) return;
    this.#lease = await etcd.grantLease(ttlSeconds);
  }

  async #beat(): Promise<void> {
    try {
      if (this.#lease !== undefined && !(await this.#o.etcd.keepLease(this.#lease))) this.#again?.abort();
    } catch {
      // whoever follows the changes notices, too
      this.#again?.abort();
    }
  }

  /** This host's keys in etcd become what it holds. They are put again in any case: they may be under the lease of a former life. */
  async #putRight(found: ReadonlyMap<string, string>): Promise<void> {
    const lease = this.#lease;
    for (const [key, value] of found) {
      if (ownerOf(value) === this.hostId && !this.#held.has(key)) await this.transact([{ key, value }], [{ delete: key }]);
    }
    for (const [key, value] of [...this.#held]) {
      const present = found.get(key);
      const condition: Compare = present === undefined ? { key, isAbsent: true } : { key, value: present };
      const isOwn = present === undefined || ownerOf(present) === this.hostId;
      if (isOwn && (await this.transact([condition], [{ put: key, value, lease }]))) this.#put(key, value);
      else if (!isOwn) this.#o.log.error("another host took what was this one's while etcd was away", { key, by: ownerOf(present) });
    }
  }

  #put(key: string, value: string | undefined): void {
    if (this.#copy.get(key) === value) return;
    if (value === undefined) this.#copy.delete(key);
    else this.#copy.set(key, value);
    for (const listener of [...this.#listeners]) {
      try {
        listener(key, value);
      } catch (error) {
        this.#o.log.error("can't follow a change of another host", { key, error });
      }
    }
  }
}
