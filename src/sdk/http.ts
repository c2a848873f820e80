import { DhowError, errnoCode } from "../lib/mod.ts";
import type { Address } from "./address.ts";
import { ByteReader } from "./byte-reader.ts";
import { type TlsOptions, tlsFailure } from "./tls.ts";
import { connectWire, type Wire } from "./wire.ts";

export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE";
  /** Path and query, from the root of the API. */
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Bytes are sent with their length, a stream in chunks as it comes. */
  readonly body?: Uint8Array | string | AsyncIterable<Uint8Array> | undefined;
  /** Asks for the connection itself, for attach and exec. */
  readonly upgrade?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** To be read to its end, or given up by `discard`. */
  readonly body: AsyncIterable<Uint8Array>;
  /** After `upgrade`: the raw connection, when the server handed it over. */
  readonly connection: RawConnection | null;
  /** Closes the connection below the response. */
  discard(): void;
}

/** Both directions of a hijacked connection. */
export interface RawConnection {
  readonly reader: ByteReader;
  /** Resolves when more may be written. */
  write(data: Uint8Array): Promise<void>;
  /** Half-close: no more bytes go out, those that come in are still read. */
  end(): void;
  destroy(): void;
}

interface Connection {
  readonly wire: Wire;
  readonly reader: ByteReader;
}

interface Head {
  readonly status: number;
  readonly headers: Record<string, string>;
}

type OnUnreachable = (() => Promise<boolean>) | undefined;

const CRLF2 = Buffer.from("\r\n\r\n");
const MAX_HEAD_BYTES = 1 << 20;

function parseHead(text: string): Head {
  const [first = "", ...lines] = text.split("\r\n");
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  return { status: Number(first.split(" ")[1] ?? 0), headers };
}

async function readHead(reader: ByteReader): Promise<Head | null> {
  let bytes: Buffer = Buffer.alloc(0);
  for (;;) {
    const chunk = await reader.read();
    if (chunk === null) {
      if (bytes.length === 0) return null;
      throw new DhowError("unavailable", "unexpected EOF");
    }
    bytes = bytes.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat([bytes, chunk]);
    const end = bytes.indexOf(CRLF2);
    if (end < 0) {
      if (bytes.length > MAX_HEAD_BYTES) throw new DhowError("internal", "malformed HTTP response");
      continue;
    }
    const head = parseHead(bytes.toString("latin1", 0, end));
    reader.unread(bytes.subarray(end + CRLF2.length));
    if (head.status === 0 || Number.isNaN(head.status)) throw new DhowError("internal", "malformed HTTP response");
    if (head.status === 100) {
      bytes = Buffer.alloc(0);
      continue;
    }
    return head;
  }
}

async function readLine(reader: ByteReader): Promise<string> {
  let line = "";
  for (;;) {
    const chunk = await reader.read();
    if (chunk === null) throw new DhowError("unavailable", "unexpected EOF");
    const end = chunk.indexOf(10);
    if (end < 0) {
      line += Buffer.from(chunk).toString("latin1");
      continue;
    }
    line += Buffer.from(chunk.subarray(0, end)).toString("latin1");
    reader.unread(chunk.subarray(end + 1));
    return line.endsWith("\r") ? line.slice(0, -1) : line;
  }
}

async function* take(reader: ByteReader, length: number): AsyncGenerator<Uint8Array> {
  let left = length;
  while (left > 0) {
    const chunk = await reader.read();
    if (chunk === null) throw new DhowError("unavailable", "unexpected EOF");
    if (chunk.length > left) {
      reader.unread(chunk.subarray(left));
      yield chunk.subarray(0, left);
      return;
    }
    left -= chunk.length;
    yield chunk;
  }
}

async function* takeChunks(reader: ByteReader): AsyncGenerator<Uint8Array> {
  for (;;) {
    const length = Number.parseInt(await readLine(reader), 16);
    if (Number.isNaN(length)) throw new DhowError("internal", "malformed chunked encoding");
    if (length === 0) break;
    yield* take(reader, length);
    await readLine(reader);
  }
  while ((await readLine(reader)) !== "");
}

async function* takeAll(reader: ByteReader): AsyncGenerator<Uint8Array> {
  for (let chunk = await reader.read(); chunk !== null; chunk = await reader.read()) yield chunk;
}

/**
 * A small HTTP/1.1 client for one engine: keep-alive, streams both ways, and connections handed over for attach and exec.
 * `node:http` alone would double a command line's time to start.
 */
export class HttpClient {
  readonly address: Address;
  readonly #tls: TlsOptions | undefined;
  readonly #onUnreachable: OnUnreachable;
  readonly #headers: Readonly<Record<string, string>>;
  #idle: Connection[] = [];
  readonly #wires = new Set<Wire>();

  /** `onUnreachable` is asked once per failed connection whether to try again: it may have started the engine meanwhile. */
  constructor(
    address: Address,
    options: {
      readonly tls?: TlsOptions | undefined;
      readonly onUnreachable?: OnUnreachable;
      readonly headers?: Readonly<Record<string, string>> | undefined;
    } = {},
  ) {
    this.#headers = options.headers ?? {};
    this.address = address;
    this.#tls = options.tls;
    this.#onUnreachable = options.onUnreachable;
  }

  /** Gives every connection up, also those in use. */
  close(): void {
    this.#idle = [];
    for (const wire of this.#wires) wire.destroy();
    this.#wires.clear();
  }

  /** A connection on which nothing was said yet, for who speaks with the engine in another way. @throws unavailable when nobody answers */
  async dial(): Promise<RawConnection> {
    return raw(await this.#connectNew());
  }

  async #connect(): Promise<Connection> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.reader.isDone && idle.wire.isOpen) {
        idle.wire.ref();
        return idle;
      }
      idle.wire.destroy();
    }
    return this.#connectNew();
  }

  async #connectNew(): Promise<Connection> {
    try {
      return await this.#open();
    } catch (error) {
      const isUnreachable = error instanceof DhowError && error.details["isConnect"] === true;
      if (!isUnreachable || !(await this.#onUnreachable?.())) throw error;
      return this.#open();
    }
  }

  async #open(): Promise<Connection> {
    const { address } = this;
    const reader = new ByteReader();
    try {
      const end = (error?: Error): void => {
        reader.end(error);
        for (const wire of this.#wires) if (!wire.isOpen) this.#wires.delete(wire);
      };
      const wire = await connectWire(address, { data: (chunk) => reader.push(chunk), end }, this.#tls);
      reader.attach(wire);
      this.#wires.add(wire);
      return { wire, reader };
    } catch (error) {
      throw connectError(address, error);
    }
  }

  #requestHead(request: HttpRequest): string {
    const { address } = this;
    const base = address.kind === "tcp" ? address.basePath : "";
    const headers: Record<string, string> = { Host: hostHeader(address), "User-Agent": "dhow", ...this.#headers, ...request.headers };
    const { body } = request;
    if (body === undefined) {
      if (request.method === "POST" || request.method === "PUT") headers["Content-Length"] = "0";
    } else if (typeof body === "string" || body instanceof Uint8Array) {
      headers["Content-Length"] = String(Buffer.byteLength(body));
    } else {
      headers["Transfer-Encoding"] = "chunked";
    }
    if (request.upgrade) {
      headers["Connection"] = "Upgrade";
      headers["Upgrade"] = "tcp";
    }
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return `${request.method} ${base}${request.target} HTTP/1.1\r\n${lines.join("")}\r\n`;
  }

  async #sendBody(wire: Wire, body: HttpRequest["body"]): Promise<void> {
    if (body === undefined || typeof body === "string" || body instanceof Uint8Array) return;
    for await (const chunk of body) {
      if (!wire.isOpen) return;
      if (chunk.length === 0) continue;
      // in order all the same
      void wire.write(`${chunk.length.toString(16)}\r\n`);
      const accepted = wire.write(chunk);
      void wire.write("\r\n");
      await accepted;
    }
    await wire.write("0\r\n\r\n");
  }

  /** Sends a request and waits for the head of its response, whatever its status. @throws unavailable when nobody answers */
  async request(request: HttpRequest): Promise<HttpResponse> {
    request.signal?.throwIfAborted();
    const { body } = request;
    const isWhole = body === undefined || typeof body === "string" || body instanceof Uint8Array;
    for (;;) {
      const isReused = this.#idle.length > 0;
      const connection = await this.#connect();
      const { wire, reader } = connection;
      const abort = () => wire.destroy();
      const forget = () => request.signal?.removeEventListener("abort", abort);
      request.signal?.addEventListener("abort", abort, { once: true });
      const headText = this.#requestHead(request);
      void wire.write(typeof body === "string" ? headText + body : headText);
      if (body instanceof Uint8Array) void wire.write(body);
      let bodyError: unknown;
      const sending = this.#sendBody(wire, body).catch((error: unknown) => {
        bodyError = error;
        wire.destroy();
      });
      let head: Head | null = null;
      try {
        head = await readHead(reader);
      } catch (error) {
        if (bodyError !== undefined) throw bodyError;
        request.signal?.throwIfAborted();
        if (!(isReused && isWhole && errnoCode(error) !== undefined)) throw connectError(this.address, error);
      }
      if (head === null) {
        forget();
        wire.destroy();
        if (bodyError !== undefined) throw bodyError;
        request.signal?.throwIfAborted();
        // The server closed a connection that had waited: once more, on a new one.
        if (isReused && isWhole) continue;
        throw new DhowError("unavailable", "error during connect: EOF");
      }
      return this.#response(request, connection, head, async () => {
        forget();
        await sending;
      });
    }
  }

  #response(request: HttpRequest, connection: Connection, head: Head, finish: () => Promise<void>): HttpResponse {
    const { wire, reader } = connection;
    const { status, headers } = head;
    const discard = () => {
      wire.destroy();
    };
    if (request.upgrade && (status === 101 || status === 200)) {
      return { status, headers, body: withEnd(takeAll(reader), finish), connection: raw(connection), discard };
    }
    const hasBody = request.method !== "HEAD" && status !== 204 && status !== 304 && status >= 200;
    const length = headers["content-length"];
    const isChunked = headers["transfer-encoding"]?.toLowerCase() === "chunked";
    const canStay = headers["connection"]?.toLowerCase() !== "close" && (isChunked || length !== undefined || !hasBody);
    const source = !hasBody
      ? take(reader, 0)
      : isChunked
        ? takeChunks(reader)
        : length !== undefined
          ? take(reader, Number(length))
          : takeAll(reader);
    const release = () => {
      // a program that has nothing left to ask ends
      wire.unref();
      this.#idle.push(connection);
    };
    const { signal } = request;
    async function* body(): AsyncGenerator<Uint8Array> {
      let isComplete = false;
      try {
        yield* source;
        signal?.throwIfAborted();
        isComplete = true;
      } catch (error) {
        signal?.throwIfAborted();
        throw error;
      } finally {
        if (isComplete && canStay) {
          await finish();
          release();
        } else {
          wire.destroy();
          await finish();
        }
      }
    }
    return { status, headers, body: body(), connection: null, discard };
  }
}

/** The same bytes; `finish` is called when they are over or given up. */
async function* withEnd(source: AsyncIterable<Uint8Array>, finish: () => Promise<void>): AsyncGenerator<Uint8Array> {
  try {
    yield* source;
  } finally {
    await finish();
  }
}

function raw({ wire, reader }: Connection): RawConnection {
  return {
    reader,
    write: (data) => wire.write(data),
    end: () => {
      wire.end();
    },
    destroy: () => {
      wire.destroy();
    },
  };
}

/** What the engine is called in a request: only over TCP does it have a name. */
function hostHeader(address: Address): string {
  if (address.kind !== "tcp") return "api.moby.localhost";
  return `${address.host.includes(":") ? `[${address.host}]` : address.host}:${address.port}`;
}

function connectError(address: Address, error: unknown): DhowError {
  if (error instanceof DhowError) return error;
  const failure = tlsFailure(error);
  if (failure !== undefined) return new DhowError("unavailable", `error during connect: ${failure}`, { cause: error });
  const code = errnoCode(error);
  if (code === "EACCES" || code === "EPERM") {
    const text = `permission denied while trying to connect to the Docker daemon socket at ${address.text}`;
    return new DhowError("forbidden", text, { cause: error });
  }
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") {
    const name = address.kind === "tcp" ? address.host : "";
    return new DhowError("unavailable", `error during connect: lookup ${name}: no such host`, { cause: error });
  }
  if (code === "ECONNRESET" || code === "EPIPE") {
    return new DhowError("unavailable", `error during connect: ${code === "EPIPE" ? "broken pipe" : "connection reset by peer"}`, {
      cause: error,
    });
  }
  const text = `Cannot connect to the Docker daemon at ${address.text}. Is the docker daemon running?`;
  return new DhowError("unavailable", text, { cause: error, details: { code: code ?? "", isConnect: true } });
}
