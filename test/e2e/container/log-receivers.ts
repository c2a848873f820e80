/** Receivers of logs that speak the protocols, for tests: what they got, and ways to misbehave. */
import { createSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TlsOptions } from "node:tls";

/** A listening receiver of a stream protocol. */
export interface StreamReceiver extends AsyncDisposable {
  readonly port: number;
  /** All bytes so far, of all connections. */
  readonly bytes: () => Buffer;
  readonly text: () => string;
  /** Reads nothing from now on, also of new connections. */
  readonly hang: () => void;
  readonly goOn: () => void;
  /** Ends the connections that there are. */
  readonly cut: () => void;
  readonly connections: () => number;
}

export interface StreamReceiverOptions {
  readonly port?: number;
  readonly path?: string;
  readonly tls?: TlsOptions;
  readonly onData?: (socket: Socket, data: Buffer) => void;
}

/** Listens on TCP (with TLS when given), or at a path. */
export async function streamReceiver(options: StreamReceiverOptions = {}): Promise<StreamReceiver> {
  const received: Buffer[] = [];
  const sockets = new Set<Socket>();
  let isHanging = false;
  let count = 0;
  const onConnection = (socket: Socket): void => {
    count++;
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    socket.on("data", (data: Buffer) => {
      received.push(data);
      options.onData?.(socket, data);
    });
    if (isHanging) socket.pause();
  };
  const server: Server = options.tls === undefined ? createServer(onConnection) : createTlsServer(options.tls, onConnection);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    if (options.path === undefined) server.listen(options.port ?? 0, "127.0.0.1", resolve);
    else server.listen(options.path, resolve);
  });
  const address = server.address();
  const cut = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    bytes: () => Buffer.concat(received),
    text: () => Buffer.concat(received).toString(),
    hang: () => {
      isHanging = true;
      for (const socket of sockets) socket.pause();
    },
    goOn: () => {
      isHanging = false;
      for (const socket of sockets) socket.resume();
    },
    cut,
    connections: () => count,
    [Symbol.asyncDispose]: async () => {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Listens on UDP. */
export async function datagramReceiver(): Promise<AsyncDisposable & { readonly port: number; readonly datagrams: readonly Buffer[] }> {
  const socket = createSocket("udp4");
  const datagrams: Buffer[] = [];
  socket.on("message", (data) => datagrams.push(data));
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  return {
    port: socket.address().port,
    datagrams,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => socket.close(() => resolve())),
  };
}

/** Decodes MessagePack values one after the other; what is cut off at the end is left out. Times come as `[seconds, nanoseconds]`. */
export function decodeAll(bytes: Buffer): unknown[] {
  const values: unknown[] = [];
  for (let at = 0; at < bytes.length; ) {
    try {
      const { value, end } = decode(bytes, at);
      values.push(value);
      at = end;
    } catch {
      break;
    }
  }
  return values;
}

interface Decoded {
  readonly value: unknown;
  readonly end: number;
}

function decode(bytes: Buffer, at: number): Decoded {
  const first = bytes.readUInt8(at);
  if (first < 0x80) return { value: first, end: at + 1 };
  if (first < 0x90) return decodeMap(bytes, at + 1, first & 15);
  if (first < 0xa0) return decodeList(bytes, at + 1, first & 15);
  if (first < 0xc0) return decodeText(bytes, at + 1, first & 31);
  switch (first) {
    case 0xce:
      return { value: bytes.readUInt32BE(at + 1), end: at + 5 };
    case 0xd7:
      return { value: [bytes.readUInt32BE(at + 2), bytes.readUInt32BE(at + 6)], end: at + 10 };
    case 0xd9:
      return decodeText(bytes, at + 2, bytes.readUInt8(at + 1));
    case 0xda:
      return decodeText(bytes, at + 3, bytes.readUInt16BE(at + 1));
    case 0xdc:
      return decodeList(bytes, at + 3, bytes.readUInt16BE(at + 1));
    default:
      throw new Error(`no such type here: ${first}`);
  }
}

function decodeText(bytes: Buffer, at: number, length: number): Decoded {
  if (at + length > bytes.length) throw new Error("cut off");
  return { value: bytes.toString("utf8", at, at + length), end: at + length };
}

function decodeList(bytes: Buffer, at: number, count: number): Decoded {
  const value: unknown[] = [];
  let end = at;
  for (let i = 0; i < count; i++) {
    const item = decode(bytes, end);
    value.push(item.value);
    end = item.end;
  }
  return { value, end };
}

function decodeMap(bytes: Buffer, at: number, count: number): Decoded {
  const { value, end } = decodeList(bytes, at, count * 2);
  const list = value as unknown[];
  return { value: Object.fromEntries(Array.from({ length: count }, (_, i) => [list[2 * i], list[2 * i + 1]])), end };
}
