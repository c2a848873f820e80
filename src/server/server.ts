import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { DhowError, errorKind, errorMessage, type Logger } from "../lib/mod.ts";
import type { AuditRecord, EngineApi } from "../spec/engine/mod.ts";
import { Audit } from "./audit.ts";
import { type Guard, tcpGuard, unixGuard } from "./guard.ts";
import { finish, refuse, serveSession, upgradeHead } from "./hijack.ts";
import { type ListenAddress, type Listener, listen, tcpOf } from "./listen.ts";
import { type HijackReply, RAW_STREAM, type Reply } from "./reply.ts";
import { ApiRequest, BodyCollector, takeBody } from "./request.ts";
import { clientSignal, respond, respondError, respondRawError } from "./respond.ts";
import { type Match, Router } from "./router.ts";
import { routes } from "./routes/mod.ts";
import type { ServerTls } from "./tls.ts";
import { API_VERSION, type ApiVersion, checkVersion, splitVersion } from "./versions.ts";
import { webSocketHead, webSocketStream } from "./web-socket.ts";

export interface ServerOptions {
  readonly api: EngineApi;
  readonly log: Logger;
  /** What `Server: Docker/<version> (linux)` says. */
  readonly serverVersion: string;
  /** Whether the docker command line is to offer what dockerd has in its experimental mode. */
  readonly isExperimental?: boolean | undefined;
  /** Which builder clients should take: "1" = classic, "2" = BuildKit. */
  readonly builderVersion?: string | undefined;
  readonly now?: (() => number) | undefined;
  /** Called at every request, before it is looked at: a client is there, more will come. */
  readonly onRequest?: (() => void) | undefined;
  /** Told of every request once it is known how it is answered. Who asked is known of connections that come by a descriptor. */
  readonly onAnswer?: ((record: AuditRecord) => void) | undefined;
}

/** The Docker Engine API on any number of addresses. */
export interface ApiServer {
  /** Starts to listen; resolves with where (a TCP port 0 is filled in). @throws conflict, invalid, internal */
  listen(address: ListenAddress): Promise<Listener>;
  /** Takes other certificates for new connections by TLS. */
  renewTls(tls: ServerTls): void;
  /** Stops listening at once, gives running requests `drainMs` to end, then cuts every connection. */
  close(options?: { readonly drainMs?: number | undefined }): Promise<void>;
}

const MAX_HEADER_BYTES = 1024 * 1024;
/** Go closes a connection whose header takes longer only if told to; dockerd tells it five minutes. */
const HEADER_TIMEOUT_MS = 5 * 60_000;

/** Makes the server; it listens nowhere yet. */
export function createServer(options: ServerOptions): ApiServer {
  return new HttpApiServer(options);
}

class HttpApiServer implements ApiServer {
  readonly #log: Logger;
  readonly #onRequest: () => void;
  readonly #router: Router;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #listeners: { readonly server: Server; readonly listener: Listener }[] = [];
  readonly #taken = new Set<Duplex>();
  readonly #matches = new WeakMap<IncomingMessage, Match>();
  readonly #audit: Audit | undefined;
  /** The last answer on each connection. */
  readonly #answers = new WeakMap<Duplex, ServerResponse>();

  constructor(options: ServerOptions) {
    this.#log = options.log;
    this.#onRequest = options.onRequest ?? (() => {});
    this.#audit = options.onAnswer && new Audit(options.onAnswer);
    this.#router = new Router(routes(options.api, { builderVersion: options.builderVersion ?? "1", now: options.now ?? Date.now }));
    this.#headers = {
      "Api-Version": API_VERSION,
      "Docker-Experimental": String(options.isExperimental ?? false),
      Ostype: "linux",
      Server: `Docker/${options.serverVersion} (linux)`,
    };
  }

  async listen(address: ListenAddress): Promise<Listener> {
    const tcp = tcpOf(address);
    const guard = tcp === undefined ? unixGuard : tcpGuard(tcp.names ?? [], tcp.tls);
    const server = this.#httpServer(guard, address.kind === "fd" || tcp?.tls !== undefined);
    const listener = await listen(server, address, this.#log, this.#audit?.onConnection);
    this.#listeners.push({ server, listener });
    return listener;
  }

  renewTls(tls: ServerTls): void {
    for (const { listener } of this.#listeners) listener.renewTls(tls);
  }

  async close(options: { readonly drainMs?: number | undefined } = {}): Promise<void> {
    const servers = this.#listeners.splice(0);
    const closed = Promise.all(servers.map(({ listener }) => listener.close()));
    for (const { server } of servers) server.closeIdleConnections();
    const cut = (): void => {
      for (const { listener } of servers) listener.cut();
      for (const socket of this.#taken) socket.destroy();
    };
    const timer = setTimeout(cut, options.drainMs ?? 0);
    try {
      await closed;
    } finally {
      clearTimeout(timer);
      cut();
    }
  }

  /** `isForeign`: its connections are accepted elsewhere, see `takeBody`. */
  #httpServer(guard: Guard, isForeign: boolean): Server {
    const settings = {
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: 0,
      requestTimeout: 0,
      headersTimeout: HEADER_TIMEOUT_MS,
      requireHostHeader: false,
      shouldUpgradeCallback: (incoming: IncomingMessage) => this.#mayTakeOver(incoming),
    };
    const server = createHttpServer(settings, (incoming, response) => void this.#serve(incoming, response, guard));
    server.on("upgrade", (incoming: IncomingMessage, socket: Duplex, head: Buffer) => {
      void this.#takeOver(incoming, socket, isForeign ? takeBody(incoming, socket, head) : head, guard);
    });
    server.on("clientError", (error: Error & { code?: string }, socket: Duplex) => refuseConnection(error, socket));
    return server;
  }

  /** Looks the route up once; the upgrade question and the handler share the answer. */
  #match(incoming: IncomingMessage): Match | undefined {
    const known = this.#matches.get(incoming);
    if (known !== undefined) return known;
    const { path } = splitVersion(pathOf(incoming));
    const match = this.#router.match(incoming.method ?? "", path.includes("%") ? decodePath(path) : path);
    if (match !== undefined) this.#matches.set(incoming, match);
    return match;
  }

  /** A path that can't be read is refused where every request is; nothing may be thrown into the HTTP parser. */
  #mayTakeOver(incoming: IncomingMessage): boolean {
    try {
      return this.#match(incoming)?.route.hijack !== undefined;
    } catch {
      return false;
    }
  }

  #request(incoming: IncomingMessage, match: Match, signal: () => AbortSignal, body?: BodyCollector): ApiRequest {
    const { version } = splitVersion(pathOf(incoming));
    const checked: ApiVersion = checkVersion(version);
    const url = incoming.url ?? "";
    const question = url.indexOf("?");
    const rawQuery = question < 0 ? "" : url.slice(question + 1);
    return new ApiRequest({ incoming, version: checked, name: match.name, id: match.id, rawQuery, signal, body });
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse, guard: Guard): Promise<void> {
    this.#onRequest();
    this.#log.debug(`Calling ${incoming.method} ${incoming.url}`);
    for (const key in this.#headers) response.setHeader(key, this.#headers[key] ?? "");
    response.on("error", () => {});
    this.#answers.set(incoming.socket, response);
    let match: Match | undefined;
    try {
      if (incoming.headers.host === undefined && incoming.httpVersion === "1.1")
        throw new DhowError("invalid", "missing required Host header");
      guard(incoming);
      if (incoming.method === "OPTIONS") {
        await respond(response, { kind: "empty", status: 200 }, this.#log);
        return;
      }
      match = this.#match(incoming);
      if (match === undefined) throw new DhowError("notFound", "page not found");
      const request = this.#request(incoming, match, clientSignal(incoming, response));
      const { hijack, handler } = match.route;
      const reply = hijack === undefined ? await handler(request) : await hijack(request);
      this.#audit?.answered(incoming, pathOf(incoming), match.name, reply);
      if (hijack !== undefined) await this.#serveWithoutUpgrade(response, reply);
      else if ("kind" in reply) await respond(response, reply, this.#log);
    } catch (error) {
      this.#audit?.failed(incoming, pathOf(incoming), error);
      this.#logFailure(incoming, error);
      if (match?.route.rawErrors) respondRawError(response, error);
      else respondError(response, error);
    }
  }

  /** A client that doesn't ask for an upgrade gets the output as the body; there is no way to its stdin. */
  async #serveWithoutUpgrade(response: ServerResponse, reply: HijackReply | Reply): Promise<void> {
    if ("kind" in reply) {
      await respond(response, reply, this.#log);
      return;
    }
    const { session } = reply;
    response.on("close", () => session.close());
    if (response.destroyed) session.close();
    session.closeStdin();
    response.useChunkedEncodingByDefault = false;
    response.setHeader("Connection", "close");
    await respond(response, { kind: "output", contentType: RAW_STREAM, multiplexed: reply.multiplexed, output: session.output }, this.#log);
  }

  async #takeOver(incoming: IncomingMessage, socket: Duplex, start: Buffer | ReturnType<typeof takeBody>, guard: Guard): Promise<void> {
    this.#onRequest();
    this.#log.debug(`Calling ${incoming.method} ${incoming.url}`);
    this.#taken.add(socket);
    socket.on("close", () => this.#taken.delete(socket));
    socket.on("error", () => {});
    const body = new BodyCollector(start instanceof Promise ? start.then((taken) => taken.body) : incoming);
    const controller = new AbortController();
    socket.on("close", () => controller.abort());
    const match = this.#match(incoming);
    let isHttp = true;
    try {
      await untilOver(this.#answers.get(socket));
      if (socket.destroyed) return;
      guard(incoming);
      if (match?.route.hijack === undefined) throw new DhowError("notFound", "page not found");
      const request = this.#request(incoming, match, () => controller.signal, body);
      const reply = await match.route.hijack(request);
      this.#audit?.answered(incoming, pathOf(incoming), match.name, reply);
      if ("kind" in reply) {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n${headerLines(this.#headers)}\r\n`);
        finish(socket);
        return;
      }
      isHttp = false;
      socket.write(reply.webSocket ? webSocketHead(reply.webSocket) : upgradeHead(reply.contentType, this.#headers));
      const early = start instanceof Promise ? (await start).early : start;
      if (reply.webSocket) await serveSession(webSocketStream(socket, early, reply.webSocket), new Uint8Array(), reply, this.#log);
      else await serveSession(socket, early, reply, this.#log);
    } catch (error) {
      this.#audit?.failed(incoming, pathOf(incoming), error);
      this.#logFailure(incoming, error);
      if (isHttp) refuse(socket, error, match?.route.rawErrors ?? false, this.#headers);
      else socket.destroy();
    }
  }

  #logFailure(incoming: IncomingMessage, error: unknown): void {
    const fields = { method: incoming.method, path: pathOf(incoming), error: errorMessage(error) };
    // a client that has gone away is no fault of anybody's
    const isGivenUp = error instanceof Error && error.name === "AbortError";
    if (errorKind(error) === "internal" && !isGivenUp) this.#log.error("handler returned an error", fields);
    else this.#log.debug("handler returned an error", fields);
  }
}

/** What is asked for behind a request waits for the end of its answer, as with Go's server. */
async function untilOver(answer: ServerResponse | undefined): Promise<void> {
  if (answer === undefined || answer.writableFinished || answer.destroyed) return;
  await new Promise<void>((resolve) => {
    answer.once("finish", resolve);
    answer.once("close", resolve);
  });
}

function headerLines(headers: Readonly<Record<string, string>>): string {
  return Object.entries(headers)
    .map(([key, value]) => `${key}: ${value}\r\n`)
    .join("");
}

function pathOf(incoming: IncomingMessage): string {
  const url = incoming.url ?? "/";
  const question = url.indexOf("?");
  return question < 0 ? url : url.slice(0, question);
}

/** Escapes are bytes; those that are no UTF-8 make a name that nothing has. */
function decodePath(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (cause) {
    if (/%(?![0-9a-fA-F]{2})/.test(path)) throw new DhowError("invalid", `invalid URL escape in ${JSON.stringify(path)}`, { cause });
    const bytes = path.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    return Buffer.from(bytes, "latin1").toString("utf8");
  }
}

/** What is no HTTP gets Go's answer. */
function refuseConnection(error: Error & { code?: string }, socket: Duplex): void {
  if (socket.destroyed || !socket.writable || error.code === "ECONNRESET") {
    socket.destroy();
    return;
  }
  const [status, text] = error.code === "HPE_HEADER_OVERFLOW" ? ["431 Request Header Fields Too Large", ""] : ["400 Bad Request", ""];
  socket.end(`HTTP/1.1 ${status}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n${status}${text}`);
}
