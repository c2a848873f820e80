import { MIN_API_VERSION } from "../lib/mod.ts";
import { orAborted } from "./abort.ts";
import { parseAddress } from "./address.ts";
import { responseError } from "./errors.ts";
import { HttpClient, type HttpRequest, type HttpResponse } from "./http.ts";
import { minor, type QueryValue, target } from "./query.ts";
import type { TlsOptions } from "./tls.ts";

/** The newest API version that this client speaks. */
export const CLIENT_API_VERSION = "1.51";

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

function lower(a: string, b: string): string {
  return minor(a) < minor(b) ? a : b;
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
export class Transport {
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

/** Headers and body of a call that sends JSON; nothing for undefined. */
export function jsonBody(body: unknown): Pick<HttpRequest, "headers" | "body"> {
  return body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** The whole body. */
export async function bodyText(response: HttpResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}
