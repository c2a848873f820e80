import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { DhowError } from "../lib/mod.ts";
import { ChunkedBody } from "./chunked-body.ts";
import { Query } from "./decode.ts";
import { type Decoded, decodeJson, type GoType } from "./go-json.ts";
import { mediaType } from "./media-type.ts";
import type { ApiVersion } from "./versions.ts";

/** JSON bodies are held in memory, so there is an end to them. */
const MAX_JSON_BYTES = 16 * 1024 * 1024;

/** Starts to collect a body at once: what arrives before the first listener is lost for a request that was upgraded. */
export class BodyCollector {
  readonly bytes: Promise<Uint8Array>;

  constructor(source: IncomingMessage | Promise<Uint8Array>) {
    this.bytes = source instanceof Promise ? source : collect(source);
    // who reads the body gets the failure; a handler that doesn't look at it must not fail
    this.bytes.catch(() => {});
  }
}

function collect(incoming: IncomingMessage): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let sizeBytes = 0;
    // made when needed: an error costs milliseconds where its stack is mapped to sources
    const tooLarge = (): DhowError => new DhowError("invalid", `invalid JSON: request body too large: limit is ${MAX_JSON_BYTES} bytes`);
    if (Number(incoming.headers["content-length"] ?? 0) > MAX_JSON_BYTES) {
      reject(tooLarge());
      return;
    }
    incoming.on("data", (chunk: Buffer) => {
      sizeBytes += chunk.length;
      if (sizeBytes > MAX_JSON_BYTES) {
        chunks.length = 0;
        reject(tooLarge());
      } else chunks.push(chunk);
    });
    incoming.on("end", () => resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)));
    const cut = (): void => {
      if (!incoming.readableEnded) reject(new DhowError("invalid", "invalid JSON: unexpected EOF"));
    };
    incoming.on("error", cut);
    incoming.on("close", cut);
  });
}

/** The body of a taken-over request, and what the client has sent beyond it. */
export interface TakenBody {
  readonly body: Uint8Array;
  readonly early: Uint8Array;
}

/**
 * The body of a request that was upgraded on a connection which Bun did not accept itself: there the HTTP parser stops at the headers, and
 * what follows them is in `head` and on the socket. `early` is what the client has sent beyond the body; the socket is paused.
 * @throws invalid when the client goes away before, sends or announces too much, or no chunks where it announced them
 */
export async function takeBody(incoming: IncomingMessage, socket: Duplex, head: Uint8Array): Promise<TakenBody> {
  const take = incoming.headers["transfer-encoding"] === undefined ? announcedBody(incoming) : chunkedBody();
  return take(head) ?? (await takeFrom(socket, take));
}

/** Takes what arrives, until the body is whole. */
type Take = (bytes: Uint8Array) => TakenBody | undefined;

function announcedBody(incoming: IncomingMessage): Take {
  const length = Number(incoming.headers["content-length"] ?? 0);
  if (length > MAX_JSON_BYTES) throw new DhowError("invalid", `invalid JSON: request body too large: limit is ${MAX_JSON_BYTES} bytes`);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  return (bytes) => {
    chunks.push(bytes);
    sizeBytes += bytes.length;
    if (sizeBytes < length) return undefined;
    const all = Buffer.concat(chunks);
    return { body: all.subarray(0, length), early: all.subarray(length) };
  };
}

function chunkedBody(): Take {
  const chunked = new ChunkedBody(MAX_JSON_BYTES);
  return (bytes) => {
    const early = chunked.push(bytes);
    return early && { body: chunked.bytes(), early };
  };
}

function takeFrom(socket: Duplex, take: Take): Promise<TakenBody> {
  return new Promise((resolve, reject) => {
    const end = (): void => {
      socket.pause();
      socket.off("data", read).off("end", cut).off("close", cut);
    };
    const read = (chunk: Uint8Array): void => {
      try {
        const taken = take(chunk);
        if (taken === undefined) return;
        end();
        resolve(taken);
      } catch (error) {
        end();
        reject(error);
      }
    };
    const cut = (): void => reject(new DhowError("invalid", "invalid JSON: unexpected EOF"));
    socket.on("data", read).on("end", cut).on("close", cut);
    socket.resume();
  });
}

/** One call of the API. */
export class ApiRequest {
  readonly method: string;
  /** As the client asked for it, `[1, 41]`; the newest when the path had no version. */
  readonly version: ApiVersion;
  /** What the pattern's `:name` stands for. */
  readonly name: string;
  /** What its `:id` stands for. */
  readonly id: string;
  readonly query: Query;
  readonly incoming: IncomingMessage;
  readonly #signal: () => AbortSignal;
  readonly #body: BodyCollector | undefined;

  constructor(options: {
    readonly incoming: IncomingMessage;
    readonly version: ApiVersion;
    readonly name: string;
    readonly id?: string | undefined;
    readonly rawQuery: string;
    readonly signal: () => AbortSignal;
    readonly body?: BodyCollector | undefined;
  }) {
    this.incoming = options.incoming;
    this.method = options.incoming.method ?? "";
    this.version = options.version;
    this.name = options.name;
    this.id = options.id ?? "";
    this.query = new Query(options.rawQuery);
    this.#signal = options.signal;
    this.#body = options.body;
  }

  /** Aborted when the client goes away. */
  get signal(): AbortSignal {
    return this.#signal();
  }

  /** Whether the client's API is at least `major.minor`. */
  atLeast(minor: number): boolean {
    return this.version[0] > 1 || this.version[1] >= minor;
  }

  header(name: string): string {
    const value = this.incoming.headers[name];
    return Array.isArray(value) ? value.join(", ") : (value ?? "");
  }

  /** The length that the client announced; -1 when it sends in chunks. */
  get bodyLength(): number {
    if (this.incoming.headers["transfer-encoding"] !== undefined) return -1;
    return Number(this.incoming.headers["content-length"] ?? 0);
  }

  /** The body as it comes in, with back-pressure. */
  get body(): AsyncIterable<Uint8Array> {
    return this.incoming;
  }

  /**
   * The decoded JSON body; an empty one is `{}` unless `required`.
   * @throws invalid with dockerd's words: Content-Type, syntax, types
   */
  async json(type: GoType, options: { readonly required?: boolean } = {}): Promise<Decoded> {
    this.#checkContentType();
    const emptyText = options.required ? "EOF" : undefined;
    if (this.bodyLength === 0) return options.required ? decodeJson("", type, emptyText) : { value: {}, seen: new Set() };
    const collector = this.#body ?? new BodyCollector(this.incoming);
    return decodeJson(new TextDecoder("utf-8", { ignoreBOM: true }).decode(await collector.bytes), type, emptyText);
  }

  #checkContentType(): void {
    const given = this.header("content-type");
    if (given === "" && this.bodyLength === 0) return;
    if (mediaType(given) !== "application/json") {
      throw new DhowError("invalid", `unsupported Content-Type header (${given}): must be 'application/json'`);
    }
  }
}
