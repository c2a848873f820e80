import { mkdtempSync, rmSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../src/lib/mod.ts";
import { check, libc } from "../../src/linux/mod.ts";
import { createServer } from "../../src/server/mod.ts";
import type { EngineApi } from "../../src/spec/engine/mod.ts";

export interface Serving extends AsyncDisposable {
  readonly path: string;
  readonly logged: string[];
  fetch(method: string, path: string, init?: RequestInit): Promise<Response>;
  /** A connection of its own, with `text` already sent. */
  connect(text: string): Promise<RawConnection>;
}

/** Serves `api` on a socket in a directory of its own. */
export async function serve(
  api: EngineApi,
  options: { readonly now?: () => number; readonly isHandedOver?: boolean } = {},
): Promise<Serving> {
  const dir = mkdtempSync(join(tmpdir(), "dhow-api-"));
  const path = join(dir, "d.sock");
  const logged: string[] = [];
  const log = createLogger({ level: "debug", format: "text", write: (line) => void logged.push(line) });
  const server = createServer({ api, log, serverVersion: "1.2.3", now: options.now });
  await server.listen(options.isHandedOver ? { kind: "fd", fd: listeningSocket(path) } : { kind: "unix", path });
  const connections: RawConnection[] = [];
  return {
    path,
    logged,
    fetch: (method, target, init = {}) => fetch(`http://docker${target}`, { method, unix: path, ...init } as RequestInit),
    connect: async (text) => {
      const connection = await RawConnection.open(path);
      connections.push(connection);
      connection.socket.write(text);
      return connection;
    },
    [Symbol.asyncDispose]: async () => {
      for (const connection of connections) connection.socket.destroy();
      await server.close();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A socket as systemd hands it over: somebody else has bound it. */
export function listeningSocket(path: string): number {
  const [AF_UNIX, SOCK_STREAM] = [1, 1];
  const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(`${path}\0`)]);
  const fd = check(libc.symbols.socket(AF_UNIX, SOCK_STREAM, 0), "socket");
  check(libc.symbols.bind(fd, address, address.length), "bind", path);
  check(libc.symbols.listen(fd, 16), "listen", path);
  return fd;
}

/** A connection that collects what it gets. */
export class RawConnection {
  readonly socket: Socket;
  received = Buffer.alloc(0);
  ended = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (data: Buffer) => {
      this.received = Buffer.concat([this.received, data]);
      this.#wake();
    });
    const end = (): void => {
      this.ended = true;
      this.#wake();
    };
    socket.on("end", end);
    socket.on("close", end);
    socket.on("error", end);
  }

  static open(path: string): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = createConnection({ path, allowHalfOpen: true });
      socket.once("error", reject);
      socket.once("connect", () => resolve(new RawConnection(socket)));
    });
  }

  /** Everything received once it has `text`; fails when the connection ends without. */
  async until(text: string): Promise<string> {
    while (!this.received.includes(text)) {
      if (this.ended) throw new Error(`the connection ended without ${JSON.stringify(text)}: ${this.received}`);
      await this.#next();
    }
    return this.received.toString("latin1");
  }

  /** Everything received when the server has ended the connection. */
  async end(): Promise<string> {
    while (!this.ended) await this.#next();
    return this.received.toString("latin1");
  }

  #next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }
}

/** Head of a request that wants to take the connection over. */
export function upgrade(path: string, headers: readonly string[] = []): string {
  return [`POST ${path} HTTP/1.1`, "Host: docker", "Connection: Upgrade", "Upgrade: tcp", ...headers, "", ""].join("\r\n");
}

/** Frames of a multiplexed stream, as text. */
export function frame(stream: 1 | 2, text: string): string {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(text), 4);
  return header.toString("latin1") + text;
}
