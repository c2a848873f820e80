import { connect as connectTcp, isIP, type Socket } from "node:net";
import { DhowError, errnoCode, errorMessage } from "../../lib/mod.ts";
import { errnoNumber, strerror } from "../../linux/mod.ts";

/** Where a stream goes; certificates are read when a connection is made. */
export type Endpoint =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly tls: (() => TlsOptions) | undefined }
  | { readonly kind: "unix"; readonly path: string };

export interface TlsOptions {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly isUnverified: boolean;
}

export interface StreamConnectionOptions {
  readonly endpoint: Endpoint;
  readonly connectTimeoutMs: number;
  /** How long a write may take; undefined for ever. */
  readonly writeTimeoutMs?: number | undefined;
}

/** A connection that is made when it is needed, and again after it was lost. */
export class StreamConnection {
  readonly #options: StreamConnectionOptions;
  #socket: Socket | undefined;
  #received: Buffer[] = [];
  #onChange: (() => void) | undefined;

  constructor(options: StreamConnectionOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#socket !== undefined;
  }

  /** @throws unavailable in the words of Go's dial errors */
  async connect(signal: AbortSignal): Promise<void> {
    if (this.#socket !== undefined) return;
    const { endpoint, connectTimeoutMs } = this.#options;
    const socket = await dial(endpoint, connectTimeoutMs, signal);
    this.#socket = socket;
    this.#received = [];
    const lost = (): void => {
      if (this.#socket === socket) this.#socket = undefined;
      socket.destroy();
      this.#onChange?.();
    };
    socket.on("error", lost);
    socket.on("close", lost);
    // a receiver that sends no more takes no more, either
    socket.on("end", lost);
    socket.on("data", (data: Buffer) => {
      this.#received.push(data);
      this.#onChange?.();
    });
  }

  /** Resolves when the bytes are in the kernel. @throws unavailable when the connection is lost before */
  async write(data: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.connect(signal);
    const socket = this.#socket;
    if (socket === undefined) throw closed();
    await settle<void>(this.#options.writeTimeoutMs, signal, (resolve, reject) => {
      const onClose = (): void => reject(closed());
      socket.once("close", onClose);
      socket.write(data, (error) => {
        socket.off("close", onClose);
        if (error) reject(error);
        else resolve();
      });
    });
  }

  /** Waits for bytes until `parse` makes something of all that came since it last did. @throws unavailable when the connection is lost before */
  async receive<T>(parse: (bytes: Buffer) => T | undefined, timeoutMs: number | undefined, signal: AbortSignal): Promise<T> {
    try {
      return await settle<T>(timeoutMs, signal, (resolve, reject) => {
        const look = (): void => {
          try {
            const value = parse(Buffer.concat(this.#received));
            if (value !== undefined) {
              this.#received = [];
              resolve(value);
            } else if (this.#socket === undefined) reject(closed());
          } catch (error) {
            reject(error);
          }
        };
        this.#onChange = look;
        look();
      });
    } finally {
      this.#onChange = undefined;
    }
  }

  close(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    // what is in the socket's buffer still goes out
    socket?.end();
    socket?.unref();
  }
}

function closed(): DhowError {
  return new DhowError("unavailable", "the connection was closed by the receiver");
}

function settle<T>(
  timeoutMs: number | undefined,
  signal: AbortSignal,
  run: (resolve: (value: T | PromiseLike<T>) => void, reject: (error: unknown) => void) => void,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const onAbort = (): void => reject(new DhowError("unavailable", "sending was stopped"));
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => reject(new DhowError("unavailable", "i/o timeout")), timeoutMs);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  else run(resolve, reject);
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  });
}

async function dial(endpoint: Endpoint, timeoutMs: number, signal: AbortSignal): Promise<Socket> {
  const socket = await openSocket(endpoint);
  const isTls = endpoint.kind === "tcp" && endpoint.tls !== undefined;
  try {
    await settle<void>(timeoutMs, signal, (resolve, reject) => {
      socket.once(isTls ? "secureConnect" : "connect", () => resolve());
      socket.once("error", reject);
      socket.once("close", () => reject(closed()));
    });
    socket.removeAllListeners();
    return socket;
  } catch (error) {
    socket.on("error", () => {});
    socket.destroy();
    throw new DhowError("unavailable", dialText(endpoint, error), { cause: error });
  }
}

async function openSocket(endpoint: Endpoint): Promise<Socket> {
  if (endpoint.kind === "unix") return connectTcp({ path: endpoint.path });
  const { host, port, tls } = endpoint;
  if (tls === undefined) return connectTcp({ host, port });
  const { connect } = await import("node:tls");
  const { ca, cert, key, isUnverified } = tls();
  return connect({
    host,
    port,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    rejectUnauthorized: !isUnverified,
  });
}

/** `dial tcp 127.0.0.1:514: connect: connection refused`, as Go says it. */
export function dialText(endpoint: Endpoint, error: unknown): string {
  const code = errnoCode(error) ?? "";
  const reason = errnoNumber(code) > 0 ? `connect: ${strerror(errnoNumber(code))}` : errorMessage(error);
  if (endpoint.kind === "unix") return `dial unix ${endpoint.path}: ${reason}`;
  const { host, port } = endpoint;
  if (code === "ENOTFOUND" || code === "DNS_ENOTFOUND" || code === "EAI_AGAIN") return `dial tcp: lookup ${host}: no such host`;
  return `dial tcp ${host.includes(":") ? `[${host}]` : host}:${port}: ${reason}`;
}
