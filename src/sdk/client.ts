import { DhowError, MIN_API_VERSION } from "../lib/mod.ts";
import type {
  AttachOptions,
  AttachSession,
  AuditRecord,
  ContainerWaitResponse,
  DiskUsage,
  EngineApi,
  EventMessage,
  EventsOptions,
  ExecStartRequest,
  Filters,
  Lease,
  LeaseEnd,
  LogSession,
  LogsOptions,
  PathStat,
  ProgressMessage,
} from "../spec/engine/mod.ts";
import { orAborted } from "./abort.ts";
import { type Address, parseAddress } from "./address.ts";
import { responseError } from "./errors.ts";
import { demultiplex, rawOutput } from "./frames.ts";
import { HttpClient, type HttpRequest, type HttpResponse, type RawConnection } from "./http.ts";
import { jsonLines } from "./ndjson.ts";
import { attachSession } from "./session.ts";
import type { TlsOptions } from "./tls.ts";

/** The newest API version that this client speaks. */
export const CLIENT_API_VERSION = "1.51";
/** From here on the content type of output says whether it is multiplexed. */
const MULTIPLEXED_TYPE_SINCE = 42;

/** What `GET /_ping` says about an engine. */
export interface Pong {
  readonly apiVersion: string;
  readonly osType: string;
  readonly builderVersion: string;
  readonly isExperimental: boolean;
}

export interface ClientOptions {
  /** `unix:///path`, `tcp://host:port` or `ssh://user@host`. */
  readonly host: string;
  /** For `tcp://`: speaks TLS. */
  readonly tls?: TlsOptions | undefined;
  /** A fixed API version; without it the newest that both sides speak. */
  readonly version?: string | undefined;
  /** Asked when nothing listens there; true means: try again. */
  readonly onUnreachable?: (() => Promise<boolean>) | undefined;
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** What is known about a stream before it is opened; without it the client asks the engine where the answer doesn't say. */
interface TtyHint {
  readonly tty?: boolean | undefined;
}

/** An engine behind its HTTP API. */
export interface EngineClient extends EngineApi {
  readonly address: Address;
  ping(): Promise<Pong>;
  /** The version in use; asks the engine at the first call. */
  apiVersion(): Promise<string>;
  /** A call in the API's own terms; `target` is path and query below the version. @throws what a status from 400 on stands for */
  call(request: HttpRequest): Promise<HttpResponse>;
  /** A response's body as text. */
  text(request: HttpRequest): Promise<string>;
  attach(ref: string, options: AttachOptions & TtyHint): Promise<AttachSession>;
  logs(ref: string, options: LogsOptions & TtyHint): Promise<LogSession>;
  clearLogs(ref: string): Promise<void>;
  /** A connection on which nothing was said yet. @throws unavailable when nobody answers */
  dial(): Promise<RawConnection>;
  /** The engine's interfaces, where every call ends once `signal` is aborted. */
  within(signal: AbortSignal): EngineApi;
  /** Gives every connection up. */
  close(): void;
}

type QueryValue = string | number | boolean | undefined | null | readonly string[];

/** Path and query; what is undefined, false or empty is left out. */
export function target(path: string, query: Readonly<Record<string, QueryValue>> = {}): string {
  const parts: string[] = [];
  const add = (name: string, value: string) => parts.push(`${encodeURIComponent(name)}=${encodeURIComponent(value)}`);
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined || value === null || value === false || value === "") continue;
    if (value === true) add(name, "1");
    else if (typeof value === "object") for (const item of value) add(name, item);
    else add(name, String(value));
  }
  return parts.length === 0 ? path : `${path}?${parts.join("&")}`;
}

/** The `filters` parameter in its map form, which every version understands. */
export function filtersParameter(filters: Filters): string | undefined {
  const keys = Object.keys(filters);
  if (keys.length === 0) return undefined;
  return JSON.stringify(
    Object.fromEntries(keys.map((key) => [key, Object.fromEntries((filters[key] ?? []).map((value) => [value, true]))])),
  );
}

function segment(ref: string): string {
  return encodeURIComponent(ref);
}

/** An image's name within a path: its slashes stay. */
export function imagePath(ref: string): string {
  return ref.split("/").map(encodeURIComponent).join("/").replace(/%3A/g, ":").replace(/%40/g, "@");
}

function minor(version: string): number {
  return Number(version.split(".")[1] ?? 0);
}

function lower(a: string, b: string): string {
  return minor(a) < minor(b) ? a : b;
}

function seconds(ns: bigint): string {
  return `${ns / 1_000_000_000n}.${(ns % 1_000_000_000n).toString().padStart(9, "0")}`;
}

/** Asks the engine once, and again after a failure. */
class Negotiation {
  readonly #http: HttpClient;
  #version: Promise<string> | undefined;

  constructor(http: HttpClient, fixedVersion: string | undefined) {
    this.#http = http;
    const fixed = fixedVersion?.replace(/^v/, "");
    if (fixed) this.#version = Promise.resolve(fixed);
  }

  async ping(): Promise<Pong> {
    const response = await this.#http.request({ method: "HEAD", target: "/_ping" });
    for await (const _ of response.body);
    const { headers } = response;
    return {
      apiVersion: headers["api-version"] ?? "",
      osType: headers["ostype"] ?? "",
      builderVersion: headers["builder-version"] ?? "",
      isExperimental: headers["docker-experimental"] === "true",
    };
  }

  version(): Promise<string> {
    this.#version ??= this.#ask();
    return this.#version;
  }

  async #ask(): Promise<string> {
    try {
      return lower((await this.ping()).apiVersion || MIN_API_VERSION, CLIENT_API_VERSION);
    } catch (error) {
      this.#version = undefined;
      throw error;
    }
  }
}

/** Calls in the API's own terms. */
class Transport {
  readonly http: HttpClient;
  readonly negotiation: Negotiation;
  readonly #signal: AbortSignal | undefined;

  constructor(http: HttpClient, negotiation: Negotiation, signal?: AbortSignal) {
    this.http = http;
    this.negotiation = negotiation;
    this.#signal = signal;
  }

  static open({ host, tls, version, onUnreachable, headers }: ClientOptions): Transport {
    const http = new HttpClient(parseAddress(host, tls !== undefined), { tls, onUnreachable, headers });
    return new Transport(http, new Negotiation(http, version));
  }

  /** The same, where calls without a signal of their own have this one. */
  within(signal: AbortSignal): Transport {
    return new Transport(this.http, this.negotiation, signal);
  }

  version(): Promise<string> {
    return this.negotiation.version();
  }

  async call(request: HttpRequest): Promise<HttpResponse> {
    const signal = request.signal ?? this.#signal;
    const version = await orAborted(this.version(), signal);
    const response = await this.http.request({ ...request, signal, target: `/v${version}${request.target}` });
    if (response.status < 400 && response.status !== 304) return response;
    throw responseError(response.status, await bodyText(response));
  }

  async text(request: HttpRequest): Promise<string> {
    return bodyText(await this.call(request));
  }

  async json<T>(request: HttpRequest): Promise<T> {
    return JSON.parse(await this.text(request)) as T;
  }

  get<T>(path: string, query?: Readonly<Record<string, QueryValue>>): Promise<T> {
    return this.json<T>({ method: "GET", target: target(path, query) });
  }

  post<T>(path: string, query: Readonly<Record<string, QueryValue>>, body?: unknown): Promise<T> {
    return this.json<T>({ method: "POST", target: target(path, query), ...jsonBody(body) });
  }

  /** A call whose answer has no body that matters. */
  async send(method: "POST" | "DELETE", path: string, query: Readonly<Record<string, QueryValue>> = {}, body?: unknown): Promise<void> {
    await this.text({ method, target: target(path, query), ...jsonBody(body) });
  }
}

function jsonBody(body: unknown): Pick<HttpRequest, "headers" | "body"> {
  return body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

async function bodyText(response: HttpResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function containers(t: Transport): EngineApi["containers"] {
  return {
    create: (request, { name, platform, signal }) =>
      t.json({ method: "POST", target: target("/containers/create", { name, platform }), ...jsonBody(request), signal }),
    list: ({ all, limit, size, filters, signal }) =>
      t.json({
        method: "GET",
        target: target("/containers/json", { all, limit: limit > 0 ? limit : undefined, size, filters: filtersParameter(filters) }),
        signal,
      }),
    inspect: (ref, { size }) => t.get(`/containers/${segment(ref)}/json`, { size }),
    rename: (ref, name) => t.send("POST", `/containers/${segment(ref)}/rename`, { name }),
    update: (ref, request) => t.post(`/containers/${segment(ref)}/update`, {}, request),
    explain: (ref) => t.get(`/containers/${segment(ref)}/why`),
    remove: (ref, { force, volumes, link }) => t.send("DELETE", `/containers/${segment(ref)}`, { v: volumes, link, force }),
    prune: (filters) => t.post("/containers/prune", { filters: filtersParameter(filters) }),
  };
}

function checkpoints(t: Transport): EngineApi["checkpoints"] {
  return {
    create: (ref, request) => t.send("POST", `/containers/${segment(ref)}/checkpoints`, {}, request),
    list: (ref, { dir }) => t.get(`/containers/${segment(ref)}/checkpoints`, { dir }),
    remove: (ref, id, { dir }) => t.send("DELETE", `/containers/${segment(ref)}/checkpoints/${segment(id)}`, { dir }),
  };
}

function lifecycle(t: Transport): EngineApi["lifecycle"] {
  const signalAndTime = (options: { readonly timeoutS?: number | undefined; readonly signal?: string | undefined }) => ({
    t: options.timeoutS,
    signal: options.signal,
  });
  return {
    start: (ref, { detachKeys, checkpoint, checkpointDir }) =>
      notModifiedIsFine(t.send("POST", `/containers/${segment(ref)}/start`, { checkpoint, "checkpoint-dir": checkpointDir, detachKeys })),
    stop: (ref, options) => notModifiedIsFine(t.send("POST", `/containers/${segment(ref)}/stop`, signalAndTime(options))),
    restart: (ref, options) => t.send("POST", `/containers/${segment(ref)}/restart`, signalAndTime(options)),
    kill: (ref, signal) => t.send("POST", `/containers/${segment(ref)}/kill`, { signal }),
    pause: (ref) => t.send("POST", `/containers/${segment(ref)}/pause`),
    unpause: (ref) => t.send("POST", `/containers/${segment(ref)}/unpause`),
    wait: async (ref, condition, { signal }) => {
      const response = await t.call({ method: "POST", target: target(`/containers/${segment(ref)}/wait`, { condition }), signal });
      const exit = bodyText(response).then((text): ContainerWaitResponse => JSON.parse(text));
      exit.catch(() => {});
      return { exit };
    },
  };
}

async function notModifiedIsFine(call: Promise<void>): Promise<void> {
  try {
    await call;
  } catch (error) {
    if ((error as DhowError).kind !== "notModified") throw error;
  }
}

class Streams {
  readonly #transport: Transport;

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Whether a container's output is raw: by the answer's content type, by the hint, else by asking the engine. */
  async #isTty(ref: string, hint: boolean | undefined, contentType: string | undefined): Promise<boolean> {
    if (contentType === "application/vnd.docker.multiplexed-stream") return false;
    if (hint !== undefined) return hint;
    if (minor(await this.#transport.version()) >= MULTIPLEXED_TYPE_SINCE) return true;
    const { Config } = await this.#transport.get<{ Config: { Tty: boolean } }>(`/containers/${segment(ref)}/json`);
    return Config.Tty;
  }

  async attach(ref: string, options: AttachOptions & TtyHint): Promise<AttachSession> {
    const { logs, stream, stdin, stdout, stderr, detachKeys, signal } = options;
    const response = await this.#transport.call({
      method: "POST",
      target: target(`/containers/${segment(ref)}/attach`, { detachKeys, logs, stdin, stdout, stderr, stream }),
      headers: { "Content-Type": "text/plain" },
      upgrade: true,
      signal,
    });
    return attachSession(response, await this.#isTty(ref, options.tty, response.headers["content-type"]));
  }

  async logs(
    ref: string,
    options: Parameters<EngineApi["streams"]["logs"]>[1] & TtyHint,
  ): Promise<Awaited<ReturnType<EngineApi["streams"]["logs"]>>> {
    const { follow, stdout, stderr, timestamps, details, sinceNs, untilNs, tail } = options;
    const query = {
      follow,
      stdout,
      stderr,
      timestamps,
      details,
      since: sinceNs > 0n ? seconds(sinceNs) : undefined,
      until: untilNs > 0n ? seconds(untilNs) : undefined,
      tail: tail < 0 ? undefined : String(tail),
    };
    const response = await this.#transport.call({
      method: "GET",
      target: target(`/containers/${segment(ref)}/logs`, query),
      signal: options.signal,
    });
    const tty = await this.#isTty(ref, options.tty, response.headers["content-type"]);
    return { tty, output: tty ? rawOutput(response.body) : demultiplex(response.body) };
  }

  clearLogs(ref: string): Promise<void> {
    return this.#transport.send("POST", `/containers/${segment(ref)}/logs/clear`);
  }

  resize(ref: string, { rows, columns }: { readonly rows: number; readonly columns: number }): Promise<void> {
    return this.#transport.send("POST", `/containers/${segment(ref)}/resize`, { h: rows, w: columns });
  }

  top: EngineApi["streams"]["top"] = (ref, psArgs) => this.#transport.get(`/containers/${segment(ref)}/top`, { ps_args: psArgs });

  stats: EngineApi["streams"]["stats"] = async (ref, { stream, oneShot, signal }) => {
    const query = { stream: stream ? "1" : "0", "one-shot": oneShot ? "1" : undefined };
    const response = await this.#transport.call({ method: "GET", target: target(`/containers/${segment(ref)}/stats`, query), signal });
    return jsonLines(response.body);
  };
}

function files(t: Transport): EngineApi["files"] {
  const path = (ref: string) => `/containers/${segment(ref)}/archive`;
  return {
    stat: async (ref, asked, { signal } = {}) => {
      const response = await t.call({ method: "HEAD", target: target(path(ref), { path: asked }), signal });
      for await (const _ of response.body);
      return pathStat(response);
    },
    getArchive: async (ref, asked, { signal }) => {
      const response = await t.call({ method: "GET", target: target(path(ref), { path: asked }), signal });
      return { stat: pathStat(response), archive: response.body };
    },
    putArchive: async (ref, asked, archive, { noOverwriteDirNonDir, copyUidGid, signal }) => {
      const query = { path: asked, noOverwriteDirNonDir: noOverwriteDirNonDir && "true", copyUIDGID: copyUidGid && "true" };
      await t.text({
        method: "PUT",
        target: target(path(ref), query),
        headers: { "Content-Type": "application/x-tar" },
        body: archive,
        signal,
      });
    },
  };
}

function pathStat({ headers }: HttpResponse): PathStat {
  const text = Buffer.from(headers["x-docker-container-path-stat"] ?? "", "base64").toString("utf8");
  if (text === "") throw new DhowError("internal", "unable to decode container path stat header: EOF");
  return JSON.parse(text) as PathStat;
}

function contents(t: Transport): EngineApi["contents"] {
  return {
    changes: (ref, { signal }) => t.json({ method: "GET", target: target(`/containers/${segment(ref)}/changes`), signal }),
    export: async (ref, { signal }) => (await t.call({ method: "GET", target: target(`/containers/${segment(ref)}/export`), signal })).body,
    commit: (ref, { repo, tag, author, comment, pause, changes, config, signal }) =>
      t.json({
        method: "POST",
        target: target("/commit", { container: ref, repo, tag, author, comment, pause: pause ? undefined : "0", changes }),
        ...jsonBody(config ?? null),
        signal,
      }),
  };
}

function exec(t: Transport): EngineApi["exec"] {
  return {
    create: (ref, request) => t.post(`/containers/${segment(ref)}/exec`, {}, request),
    start: async (id: string, request: ExecStartRequest, { signal }) => {
      if (request.Detach) {
        await t.send("POST", `/exec/${segment(id)}/start`, {}, request);
        return null;
      }
      const path = `/exec/${segment(id)}/start`;
      const response = await t.call({ method: "POST", target: path, ...jsonBody(request), upgrade: true, signal });
      return attachSession(response, request.Tty === true);
    },
    inspect: (id) => t.get(`/exec/${segment(id)}/json`),
    resize: (id, { rows, columns }) => t.send("POST", `/exec/${segment(id)}/resize`, { h: rows, w: columns }),
  };
}

function images(t: Transport): EngineApi["images"] {
  return {
    list: ({ all, digests, sharedSize, manifests, filters, signal }) =>
      t.json({
        method: "GET",
        target: target("/images/json", { all, digests, "shared-size": sharedSize, manifests, filters: filtersParameter(filters) }),
        signal,
      }),
    inspect: (ref, { platform, manifests }) => t.get(`/images/${imagePath(ref)}/json`, { platform, manifests }),
    history: (ref, { platform }) => t.get(`/images/${imagePath(ref)}/history`, { platform }),
    tag: (ref, { repo, tag }) => t.send("POST", `/images/${imagePath(ref)}/tag`, { repo, tag }),
    remove: (ref, { force, noPrune }) =>
      t.json({ method: "DELETE", target: target(`/images/${imagePath(ref)}`, { force, noprune: noPrune }) }),
    pin: (ref, isPinned) => t.send("POST", `/images/${imagePath(ref)}/${isPinned ? "pin" : "unpin"}`),
    whyKept: (ref) => t.get(`/images/${imagePath(ref)}/why-kept`),
    collect: ({ dryRun, untilFreeBytes }) => t.post("/images/gc", { "dry-run": dryRun, "until-free": untilFreeBytes }),
    prune: (filters) => t.post("/images/prune", { filters: filtersParameter(filters) }),
  };
}

/** Docker's `fromImage` and `tag`: a digest goes where the tag does. */
function pullQuery(reference: string): { readonly fromImage: string; readonly tag: string } {
  const at = reference.indexOf("@");
  if (at >= 0) return { fromImage: reference.slice(0, at).replace(/:[^/:]*$/, ""), tag: reference.slice(at + 1) };
  const colon = reference.lastIndexOf(":");
  if (colon > reference.lastIndexOf("/")) return { fromImage: reference.slice(0, colon), tag: reference.slice(colon + 1) };
  return { fromImage: reference, tag: "latest" };
}

function transfer(t: Transport): EngineApi["transfer"] {
  const progress = async (request: HttpRequest): Promise<AsyncIterable<ProgressMessage>> => jsonLines((await t.call(request)).body);
  return {
    pull: (reference, { platform, authHeader, signal }) =>
      progress({
        method: "POST",
        target: target("/images/create", { ...pullQuery(reference), platform }),
        headers: authHeader === undefined ? {} : { "X-Registry-Auth": authHeader },
        signal,
      }),
    bootstrap: ({ source, include, tags, signal }) =>
      progress({ method: "POST", target: target("/images/bootstrap", { source, include, t: tags }), signal }),
    load: (archive, { quiet, platforms, signal }) =>
      progress({
        method: "POST",
        target: target("/images/load", { quiet: quiet ? "1" : "0", platform: platforms }),
        headers: { "Content-Type": "application/x-tar" },
        body: archive,
        signal,
      }),
    save: async (refs, { platforms, signal }) =>
      (await t.call({ method: "GET", target: target("/images/get", { names: refs, platform: platforms }), signal })).body,
    import: (rootfs, { repo, tag, message, changes, platform, signal }) =>
      progress({
        method: "POST",
        target: target("/images/create", {
          fromSrc: Symbol.asyncIterator in rootfs ? "-" : rootfs.url,
          repo,
          tag,
          message,
          changes,
          platform,
        }),
        ...(Symbol.asyncIterator in rootfs && { headers: { "Content-Type": "application/x-tar" }, body: rootfs }),
        signal,
      }),
  };
}

function volumeContents(t: Transport): EngineApi["volumeContents"] {
  const at = (name: string, verb: string): string => `/volumes/${segment(name)}/${verb}`;
  return {
    clone: async (source, { name, labels, isSnapshot, pause, signal }) => {
      const query = {
        name,
        snapshot: isSnapshot ? "1" : "0",
        pause: pause ? "1" : "0",
        labels: labels ? JSON.stringify(labels) : undefined,
      };
      return jsonLines((await t.call({ method: "POST", target: target(at(source, "clone"), query), signal })).body);
    },
    export: async (name, { compression, signal }) =>
      (await t.call({ method: "GET", target: target(at(name, "export"), { compression }), signal })).body,
    import: async (name, archive, { labels, size, signal }) => {
      const query = { size, labels: labels ? JSON.stringify(labels) : undefined };
      const headers = { "Content-Type": "application/x-tar" };
      return t.json({ method: "POST", target: target(at(name, "import"), query), headers, body: archive, signal });
    },
    rename: (name, to) => t.post(at(name, "rename"), { name: to }),
    resize: (name, size) => t.post(at(name, "resize"), { size }),
  };
}

function volumes(t: Transport): EngineApi["volumes"] {
  return {
    create: (request) => t.post("/volumes/create", {}, request),
    list: (filters) => t.get("/volumes", { filters: filtersParameter(filters) }),
    inspect: (name) => t.get(`/volumes/${segment(name)}`),
    remove: (name, { force }) => t.send("DELETE", `/volumes/${segment(name)}`, { force }),
    prune: (filters) => t.post("/volumes/prune", { filters: filtersParameter(filters) }),
  };
}

function ports(t: Transport): EngineApi["ports"] {
  return {
    change: (ref, request) => t.post(`/containers/${segment(ref)}/ports`, {}, request),
    audit: () => t.get("/ports/audit"),
  };
}

function conditions(t: Transport): EngineApi["conditions"] {
  return {
    change: (ref, request) => t.post(`/containers/${segment(ref)}/conditions`, {}, request),
  };
}

function egress(t: Transport): EngineApi["egress"] {
  return {
    inspect: (ref) => t.get(`/containers/${segment(ref)}/egress`),
    change: (ref, request) => t.post(`/containers/${segment(ref)}/egress`, {}, request),
  };
}

function networks(t: Transport): EngineApi["networks"] {
  return {
    list: (filters) => t.get("/networks", { filters: filtersParameter(filters) }),
    inspect: (ref, { verbose, scope }) => t.get(`/networks/${segment(ref)}`, { verbose, scope }),
    prune: (filters) => t.post("/networks/prune", { filters: filtersParameter(filters) }),
    create: (request) => t.post("/networks/create", {}, request),
    remove: (ref) => t.send("DELETE", `/networks/${segment(ref)}`, {}),
    connect: (ref, request) => t.send("POST", `/networks/${segment(ref)}/connect`, {}, request),
    disconnect: (ref, request) => t.send("POST", `/networks/${segment(ref)}/disconnect`, {}, request),
  };
}

/** JSON numbers lose nanoseconds: the field keeps its text beside it. */
export interface PreciseEvent extends EventMessage {
  readonly timeNanoText?: string;
}

async function* events(t: Transport, { sinceNs, untilNs, filters, signal }: EventsOptions): AsyncGenerator<PreciseEvent> {
  const query = {
    since: sinceNs === undefined ? undefined : seconds(sinceNs),
    until: untilNs === undefined ? undefined : seconds(untilNs),
    filters: filtersParameter(filters),
  };
  const response = await t.call({ method: "GET", target: target("/events", query), signal });
  yield* jsonLines<PreciseEvent>(response.body, (line) => {
    const timeNanoText = /"timeNano":(\d+)/.exec(line)?.[1];
    return { ...(JSON.parse(line) as EventMessage), ...(timeNanoText !== undefined && { timeNanoText }) };
  });
}

function leases(t: Transport): EngineApi["leases"] {
  const path = (ref: string): string => `/leases/${segment(ref)}`;
  return {
    create: (request) => t.post("/leases", {}, request),
    list: () => t.get("/leases"),
    inspect: (ref) => t.get(path(ref)),
    renew: (ref, ttl) => t.post(`${path(ref)}/renew`, { ttl }),
    addImage: (ref, image) => t.send("POST", `${path(ref)}/images`, { name: image }),
    hold: async (ref, { signal }) => jsonLines<Lease>((await t.call({ method: "GET", target: `${path(ref)}/hold`, signal })).body),
    remove: (ref, { keep }) => t.json<LeaseEnd>({ method: "DELETE", target: target(path(ref), { keep }) }),
  };
}

function sockets(t: Transport): EngineApi["sockets"] {
  const path = (name: string): string => `/sockets/${segment(name)}`;
  return {
    create: (request) => t.post("/sockets", {}, request),
    list: () => t.get("/sockets"),
    inspect: (name) => t.get(path(name)),
    remove: (name) => t.send("DELETE", path(name)),
    audit: async (name, { tail, follow, signal }) =>
      jsonLines<AuditRecord>((await t.call({ method: "GET", target: target(`${path(name)}/audit`, { tail, follow }), signal })).body),
  };
}

function system(t: Transport): EngineApi["system"] {
  return {
    version: () => t.get("/version"),
    authenticate: (credentials, { signal }) => t.json({ method: "POST", target: "/auth", ...jsonBody(credentials), signal }),
    info: () => t.get("/info"),
    events: (options) => events(t, options),
    check: ({ repair, deep, signal }) =>
      t.json({ method: repair ? "POST" : "GET", target: target("/system/check", { repair, deep }), signal }),
    diskUsage: async (types) => withoutNulls(await t.get<DiskUsage>("/system/df", { type: types })),
  };
}

function withoutNulls(usage: DiskUsage): DiskUsage {
  const { LayersSize, Images, Containers, Volumes, BuildCache, Logs } = usage;
  return {
    LayersSize,
    Images: Images ?? [],
    Containers: Containers ?? [],
    Volumes: Volumes ?? [],
    BuildCache: BuildCache ?? [],
    Logs: Logs ?? [],
  };
}

function engineApi(t: Transport, streams: Streams): EngineApi {
  return {
    containers: containers(t),
    lifecycle: lifecycle(t),
    checkpoints: checkpoints(t),
    streams,
    files: files(t),
    contents: contents(t),
    exec: exec(t),
    images: images(t),
    transfer: transfer(t),
    volumes: volumes(t),
    volumeContents: volumeContents(t),
    networks: networks(t),
    ports: ports(t),
    conditions: conditions(t),
    egress: egress(t),
    system: system(t),
    leases: leases(t),
    sockets: sockets(t),
  };
}

/** A client of the engine at `options.host`. Connects at the first call. @throws invalid for an address that is none */
export function createClient(options: ClientOptions): EngineClient {
  const t = Transport.open(options);
  const streams = new Streams(t);
  return {
    ...engineApi(t, streams),
    address: t.http.address,
    ping: () => t.negotiation.ping(),
    apiVersion: () => t.version(),
    call: (request) => t.call(request),
    text: (request) => t.text(request),
    attach: (ref, attachOptions) => streams.attach(ref, attachOptions),
    logs: (ref, logsOptions) => streams.logs(ref, logsOptions),
    clearLogs: (ref) => streams.clearLogs(ref),
    dial: () => t.http.dial(),
    within: (signal) => {
      const scoped = t.within(signal);
      return engineApi(scoped, new Streams(scoped));
    },
    close: () => t.http.close(),
  };
}
