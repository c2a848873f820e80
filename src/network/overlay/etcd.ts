import { setTimeout as sleep } from "node:timers/promises";
import { DhowError, errorMessage } from "../../lib/mod.ts";
import { EtcdTls, type EtcdTlsFiles } from "./etcd-tls.ts";

/** How the members of an etcd are reached. */
export interface EtcdOptions {
  /** `http://host:port` of each member; the first that answers is used. */
  readonly endpoints: readonly string[];
  /** Of https members. */
  readonly tls?: EtcdTlsFiles | undefined;
  /** Who this is to an etcd with authentication; the password is read anew whenever it is needed. */
  readonly user?: { readonly name: string; readonly password: () => Promise<string> } | undefined;
  /** How long all members together have for an answer, an election of theirs within it; default 6 s. */
  readonly timeoutMs?: number | undefined;
}

export interface KeyValue {
  readonly key: string;
  readonly value: string;
  readonly modRevision: number;
}

/** What etcd says to a token that has had its time, or was given before roles changed (etcdserver/api/v3rpc/rpctypes). */
const OLD_TOKEN = ["etcdserver: invalid auth token", "etcdserver: revision of auth store is old", "etcdserver: user name is empty"];
const NO_AUTHENTICATION = "etcdserver: authentication is not enabled";

/** A condition of a transaction. */
export type Compare =
  /** With `isPrefix`: no key begins with it. */
  | { readonly key: string; readonly isAbsent: true; readonly isPrefix?: boolean }
  | { readonly key: string; readonly isPresent: true }
  | { readonly key: string; readonly value: string }
  | { readonly key: string; readonly modRevision: number };

/** What a transaction does. */
export type Operation =
  | { readonly put: string; readonly value: string; readonly lease?: string | undefined }
  | { readonly delete: string; readonly isPrefix?: boolean | undefined };

/** A change that a watch tells of: a value, or that the key is gone. */
export interface WatchEvent {
  readonly key: string;
  readonly value: string | undefined;
}

/** The changes of one revision or more, all of them up to `revision`. */
export interface WatchBatch {
  readonly revision: number;
  readonly events: readonly WatchEvent[];
}

/** What a watch missed can't be told any more: who watches has to read everything again. */
export class CompactedError extends Error {
  override readonly name = "CompactedError";
}

/** Members that lost their leader have another one after 1 to 2 s, more when votes are split (etcd's default election timeout is 1 s). */
const DEFAULT_TIMEOUT_MS = 6000;
/** Between two rounds of members that are there and can't answer. */
const NEXT_ROUND_MS = 100;
/** A watch that nobody has said anything on for so long is asked for anew: its member may be cut off. */
const WATCH_SILENCE_MS = 60_000;

const encode = (text: string): string => Buffer.from(text).toString("base64");
const decode = (text: unknown): string => (typeof text === "string" ? Buffer.from(text, "base64").toString() : "");

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value);
const objects = (value: unknown): readonly Json[] => (Array.isArray(value) ? value.filter(isObject) : []);
const object = (value: unknown): Json => (isObject(value) ? value : {});

/** The end of the range of keys that begin with `prefix`. */
function rangeEnd(prefix: string): string {
  const bytes = Buffer.from(prefix);
  for (let at = bytes.length - 1; at >= 0; at--) {
    const byte = bytes[at] ?? 0;
    if (byte === 0xff) continue;
    bytes[at] = byte + 1;
    return bytes.subarray(0, at + 1).toString("base64");
  }
  return encode("\0");
}

function compareOf(compare: Compare): Json {
  const key = encode(compare.key);
  if ("isAbsent" in compare) {
    const range = compare.isPrefix ? { range_end: rangeEnd(compare.key) } : {};
    return { key, ...range, target: "CREATE", result: "EQUAL", create_revision: "0" };
  }
  if ("isPresent" in compare) return { key, target: "CREATE", result: "GREATER", create_revision: "0" };
  if ("value" in compare) return { key, target: "VALUE", result: "EQUAL", value: encode(compare.value) };
  return { key, target: "MOD", result: "EQUAL", mod_revision: String(compare.modRevision) };
}

function operationOf(operation: Operation): Json {
  if ("put" in operation) {
    const { put, value, lease } = operation;
    return { request_put: { key: encode(put), value: encode(value), ...(lease === undefined ? {} : { lease }) } };
  }
  const { delete: key, isPrefix } = operation;
  return { request_delete_range: { key: encode(key), ...(isPrefix ? { range_end: rangeEnd(key) } : {}) } };
}

const keyValue = (kv: Json): KeyValue => ({
  key: decode(kv["key"]),
  value: decode(kv["value"]),
  modRevision: Number(kv["mod_revision"] ?? 0),
});

/**
 * A client of etcd v3 over its JSON gateway, which needs nothing but fetch.
 * @see https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/
 */
export class Etcd {
  readonly #o: EtcdOptions;
  readonly #tls: EtcdTls | undefined;
  /** Index of the member that answered last. */
  #current = 0;
  /** Ends what is asked of that member when another one takes its place. */
  #member = new AbortController();
  /** What this client is known by once it said who it is. */
  #token: string | undefined;

  constructor(options: EtcdOptions) {
    this.#o = options;
    this.#tls = options.endpoints.some((endpoint) => endpoint.startsWith("https:")) ? new EtcdTls(options.tls ?? {}) : undefined;
  }

  /** For texts: where it is looked for. */
  get place(): string {
    return this.#o.endpoints.join(", ");
  }

  async #fetch(base: string, path: string, body: Json, signal: AbortSignal): Promise<Response> {
    const tls = await this.#tls?.load();
    try {
      return await fetch(`${base}/v3/${path}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...(this.#token !== undefined && { Authorization: this.#token }) },
        body: JSON.stringify(body),
        signal,
        redirect: "error",
        ...(tls === undefined ? {} : { tls: { ...tls } }),
      });
    } catch (cause) {
      throw this.#tls === undefined ? cause : new Error(this.#tls.explain(cause), { cause });
    }
  }

  /** Asks as whoever it is to be. @throws unavailable naming all members; unauthenticated, forbidden, internal what etcd says */
  async #call(path: string, body: Json): Promise<Json> {
    const { user } = this.#o;
    if (user !== undefined && this.#token === undefined) await this.#authenticate(user);
    const answer = await this.#ask(path, body);
    const text = faultOf(answer);
    if (text === undefined) return answer;
    if (user === undefined || !OLD_TOKEN.includes(text)) throw refused(path, answer, text);
    await this.#authenticate(user);
    const again = await this.#ask(path, body);
    const still = faultOf(again);
    if (still !== undefined) throw refused(path, again, still);
    return again;
  }

  async #authenticate({ name, password }: NonNullable<EtcdOptions["user"]>): Promise<void> {
    this.#token = undefined;
    const answer = await this.#ask("auth/authenticate", { name, password: await password() });
    const text = faultOf(answer);
    if (text === NO_AUTHENTICATION) return;
    if (text !== undefined) throw new DhowError("unauthenticated", `etcd doesn't take kv.username ${JSON.stringify(name)}: ${text}`);
    this.#token = String(answer["token"]);
  }

  /**
   * Asks one member after the other, the one that answered last first, and all of them again while one of them is there: it may be about to
   * elect a leader. @throws unavailable naming all of them; invalid of TLS files
   */
  async #ask(path: string, body: Json): Promise<Json> {
    const { endpoints, timeoutMs = DEFAULT_TIMEOUT_MS } = this.#o;
    const until = performance.now() + timeoutMs;
    const faults = new Map<string, string>();
    for (;;) {
      let isThere = false;
      const first = this.#current;
      for (let n = 0; n < endpoints.length; n++) {
        const index = (first + n) % endpoints.length;
        const base = endpoints[index] ?? "";
        const leftMs = until - performance.now();
        if (leftMs <= 0) throw unreachable(faults);
        const signal = AbortSignal.timeout(Math.ceil(Math.min(leftMs, timeoutMs / endpoints.length)));
        try {
          const response = await this.#fetch(base, path, body, signal);
          isThere = true;
          const answer = answerOf(await response.text());
          if (response.status >= 500 || isAway(answer)) throw new Error(String(answer["error"] ?? `status ${response.status}`));
          this.#use(index);
          return response.status === 200 ? answer : { error: `status ${response.status}`, ...answer };
        } catch (error) {
          if (signal.aborted) isThere = true;
          faults.set(base, errorMessage(error));
        }
      }
      if (!isThere) throw unreachable(faults);
      await sleep(NEXT_ROUND_MS);
    }
  }

  /** A watch of a member that is cut off hears nothing, and doesn't end by itself. */
  #use(index: number): void {
    if (index === this.#current) return;
    this.#current = index;
    this.#member.abort();
    this.#member = new AbortController();
  }

  async get(key: string): Promise<KeyValue | undefined> {
    const { kvs } = await this.#call("kv/range", { key: encode(key) });
    return objects(kvs).map(keyValue)[0];
  }

  /** All keys that begin with `prefix`, as they were at one revision. */
  async list(prefix: string): Promise<{ readonly revision: number; readonly entries: readonly KeyValue[] }> {
    const answer = await this.#call("kv/range", { key: encode(prefix), range_end: rangeEnd(prefix) });
    return { revision: Number(object(answer["header"])["revision"]), entries: objects(answer["kvs"]).map(keyValue) };
  }

  async put(key: string, value: string, lease?: string): Promise<void> {
    await this.#call("kv/put", { key: encode(key), value: encode(value), ...(lease === undefined ? {} : { lease }) });
  }

  async delete(key: string): Promise<void> {
    await this.#call("kv/deleterange", { key: encode(key) });
  }

  /** Does all of `operations` when all of `compares` hold; whether they did. */
  async transact(compares: readonly Compare[], operations: readonly Operation[]): Promise<boolean> {
    const body = { compare: compares.map(compareOf), success: operations.map(operationOf) };
    return (await this.#call("kv/txn", body))["succeeded"] === true;
  }

  /** A lease of so many seconds: what is put under it goes when it ends. Returns its id. */
  async grantLease(ttlSeconds: number): Promise<string> {
    return String((await this.#call("lease/grant", { TTL: String(ttlSeconds) }))["ID"]);
  }

  /** Begins a lease's time again. Whether it was still there. */
  async keepLease(id: string): Promise<boolean> {
    const { result } = await this.#call("lease/keepalive", { ID: id });
    return Number(object(result)["TTL"] ?? 0) > 0;
  }

  /** Ends a lease and what is under it. */
  async revokeLease(id: string): Promise<void> {
    await this.#call("lease/revoke", { ID: id });
  }

  /**
   * Tells of the changes to keys that begin with `prefix`, from `fromRevision` on and until `signal`; goes on at another member when one ends.
   * @throws {CompactedError} when etcd no longer has them; unavailable when no member answers
   */
  async *watch(prefix: string, fromRevision: number, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    for (let next = fromRevision, isFirst = true; !signal.aborted; isFirst = false) {
      // an answer of any member says that there is one; else there is none to go on at
      if (!isFirst) await this.get(prefix);
      try {
        for await (const batch of this.#watchOnce(prefix, next, signal)) {
          next = batch.revision + 1;
          yield batch;
        }
      } catch (error) {
        if (error instanceof CompactedError) throw error;
      }
      // not at once: a member that answers and hangs up is asked no faster
      await sleep(100, undefined, { signal }).catch(() => undefined);
    }
  }

  async *#watchOnce(prefix: string, fromRevision: number, signal: AbortSignal): AsyncGenerator<WatchBatch> {
    const request = { key: encode(prefix), range_end: rangeEnd(prefix), start_revision: String(fromRevision), progress_notify: true };
    const silence = new AbortController();
    const any = AbortSignal.any([signal, silence.signal, this.#member.signal]);
    const timer = setTimeout(() => silence.abort(), WATCH_SILENCE_MS);
    timer.unref();
    try {
      const base = this.#o.endpoints[this.#current] ?? "";
      const response = await this.#fetch(base, "watch", { create_request: request }, any);
      for await (const line of lines(response)) {
        timer.refresh();
        const answer = object(JSON.parse(line));
        // a token that has had its time: whoever asks next gets another one
        if (answer["error"] !== undefined) return;
        const result = object(answer["result"]);
        if (result["compact_revision"] !== undefined) throw new CompactedError(`watch etcd: revision ${fromRevision} is compacted`);
        if (result["canceled"] === true) return;
        if (result["created"] === true) continue;
        const revision = Number(object(result["header"])["revision"]);
        yield { revision, events: objects(result["events"]).map(eventOf) };
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }
}

function unreachable(faults: ReadonlyMap<string, string>): DhowError {
  return new DhowError("unavailable", `etcd can't be reached (${[...faults].map(([base, fault]) => `${base}: ${fault}`).join("; ")})`);
}

function eventOf(event: Json): WatchEvent {
  const kv = object(event["kv"]);
  return { key: decode(kv["key"]), value: event["type"] === "DELETE" ? undefined : decode(kv["value"]) };
}

/** What isn't JSON is the gateway's own word, as of a certificate with a common name. */
function answerOf(text: string): Json {
  try {
    return object(JSON.parse(text));
  } catch {
    return { error: text.trim() };
  }
}

function faultOf(answer: Json): string | undefined {
  return answer["error"] === undefined ? undefined : String(answer["error"]);
}

/** What etcd refuses: code 7 of gRPC is "permission denied", 16 "unauthenticated". */
function refused(path: string, { code }: Json, text: string): DhowError {
  const kind = code === 7 ? "forbidden" : code === 16 || OLD_TOKEN.includes(text) ? "unauthenticated" : "internal";
  return new DhowError(kind, `etcd ${path}: ${text}`);
}

/** Whether a member says that it can't answer: codes of gRPC, 14 "unavailable" and 4 "deadline exceeded". */
function isAway(answer: Json): boolean {
  return answer["code"] === 14 || answer["code"] === 4;
}

async function* lines(response: Response): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    rest += decoder.decode(chunk, { stream: true });
    const parts = rest.split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) if (part !== "") yield part;
  }
}
