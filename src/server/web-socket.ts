import { createHash } from "node:crypto";
import { Duplex } from "node:stream";
import { DhowError } from "../lib/mod.ts";
import { finish } from "./hijack.ts";
import type { ApiRequest } from "./request.ts";

/** The server's side of the WebSocket protocol, as far as a stream of bytes needs it. @see RFC 6455 */

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const OPCODE = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const FIN = 0x80;
const MASKED = 0x80;
const CONTROL = 0x08;
const LONGEST_CONTROL = 125;
const STATUS = { normal: 1000, protocolError: 1002 } as const;

/** What the connection is to become. */
export interface WebSocketUpgrade {
  /** `Sec-WebSocket-Accept` */
  readonly accept: string;
  /** Kind of the frames that are sent; both are understood. */
  readonly frames: "text" | "binary";
}

/** Checks a client's handshake. @throws invalid in the words of the library that dockerd uses */
export function webSocketUpgrade(request: ApiRequest, frames: WebSocketUpgrade["frames"]): WebSocketUpgrade {
  const key = request.header("sec-websocket-key");
  const isUpgrade = request.header("connection").toLowerCase().split(/ *, */).includes("upgrade");
  if (request.header("upgrade").toLowerCase() !== "websocket" || !isUpgrade) throw new DhowError("invalid", "not websocket protocol");
  if (Buffer.from(key, "base64").length !== 16) throw new DhowError("invalid", "mismatch challenge/response");
  if (request.header("sec-websocket-version") !== "13") throw new DhowError("invalid", "missing or bad WebSocket Version");
  return { accept: createHash("sha1").update(`${key}${GUID}`).digest("base64"), frames };
}

/** The answer that completes the handshake. */
export function webSocketHead({ accept }: WebSocketUpgrade): string {
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

function frame(opcode: number, payload: Uint8Array): Buffer[] {
  const { length } = payload;
  const header = Buffer.alloc(length < 126 ? 2 : length < 0x10000 ? 4 : 10);
  header[0] = FIN | opcode;
  header[1] = length < 126 ? length : length < 0x10000 ? 126 : 127;
  if (header.length === 4) header.writeUInt16BE(length, 2);
  if (header.length === 10) header.writeBigUInt64BE(BigInt(length), 2);
  return [header, Buffer.from(payload.buffer, payload.byteOffset, length)];
}

function closeFrame(status: number): Buffer[] {
  const payload = Buffer.alloc(2);
  payload.writeUInt16BE(status);
  return frame(OPCODE.close, payload);
}

interface Receiver {
  data(payload: Uint8Array): void;
  control(opcode: number, payload: Uint8Array): void;
}

interface Header {
  readonly opcode: number;
  readonly mask: Uint8Array;
  readonly length: number;
}

/** Takes a client's bytes apart; a message's payload goes on as it comes in, however long its frame is. */
export class FrameReader {
  readonly #receiver: Receiver;
  #pending: Buffer<ArrayBufferLike> = Buffer.alloc(0);
  #frame: Header | undefined;
  #received = 0;

  constructor(receiver: Receiver) {
    this.#receiver = receiver;
  }

  /** @throws invalid for what is against the protocol */
  read(data: Uint8Array): void {
    this.#pending = this.#pending.length === 0 ? Buffer.from(data) : Buffer.concat([this.#pending, data]);
    for (;;) {
      this.#frame ??= this.#header();
      if (!this.#frame || !this.#payload(this.#frame)) return;
    }
  }

  #header(): Header | undefined {
    const [first = 0, second = 0] = this.#pending;
    if (this.#pending.length < 2) return undefined;
    const opcode = first & 0x0f;
    const short = second & 0x7f;
    const isControl = (opcode & CONTROL) !== 0;
    if ((first & 0x70) !== 0 || (second & MASKED) === 0 || !Object.values(OPCODE).some((known) => known === opcode)) {
      throw new DhowError("invalid", "frame is against the protocol");
    }
    if (isControl && (short > LONGEST_CONTROL || (first & FIN) === 0))
      throw new DhowError("invalid", "control frame is against the protocol");
    const maskAt = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (this.#pending.length < maskAt + 4) return undefined;
    const length = short < 126 ? short : short === 126 ? this.#pending.readUInt16BE(2) : Number(this.#pending.readBigUInt64BE(2));
    const mask = Uint8Array.from(this.#pending.subarray(maskAt, maskAt + 4));
    this.#pending = this.#pending.subarray(maskAt + 4);
    this.#received = 0;
    return { opcode, mask, length };
  }

  /** Whether the frame is complete. */
  #payload({ opcode, mask, length }: Header): boolean {
    const isControl = (opcode & CONTROL) !== 0;
    // what a control frame says is taken as a whole
    if (isControl && this.#pending.length < length) return false;
    const part = this.#pending.subarray(0, length - this.#received);
    for (let i = 0; i < part.length; i++) part[i] = (part[i] ?? 0) ^ (mask[(this.#received + i) & 3] ?? 0);
    this.#pending = this.#pending.subarray(part.length);
    this.#received += part.length;
    const isComplete = this.#received === length;
    if (isComplete) this.#frame = undefined;
    if (isControl) this.#receiver.control(opcode, part);
    else if (part.length > 0) this.#receiver.data(part);
    return isComplete;
  }
}

/**
 * A WebSocket connection as a stream: what is written goes out as messages, what is read is the payload of the client's.
 * A client's Close is the end of what it sends and, once that was read, of the connection.
 */
export function webSocketStream(socket: Duplex, early: Uint8Array, { frames }: WebSocketUpgrade): Duplex {
  let isClosing = false;
  const send = (parts: readonly Buffer[], done?: (error?: Error | null) => void): void => {
    socket.cork();
    parts.forEach((part, index) => void socket.write(part, index === parts.length - 1 ? done : undefined));
    socket.uncork();
  };
  const sendClose = (status: number, done: () => void = () => {}): void => {
    const isTold = isClosing || socket.destroyed;
    isClosing = true;
    if (isTold) done();
    else send(closeFrame(status), () => done());
  };
  const stream = new Duplex({
    read: () => void socket.resume(),
    // an empty piece is no message: who writes it wants to know when all before it has gone out
    write: (chunk: Buffer, _encoding, done) => send(chunk.length === 0 ? [chunk] : frame(OPCODE[frames], chunk), done),
    final: (done) => sendClose(STATUS.normal, done),
    destroy: (error, done) => {
      finish(socket);
      done(error);
    },
  });
  const reader = new FrameReader({
    data: (payload) => {
      if (!stream.readableEnded && !stream.push(payload)) socket.pause();
    },
    control: (opcode, payload) => {
      if (opcode === OPCODE.ping) send(frame(OPCODE.pong, payload));
      if (opcode !== OPCODE.close) return;
      sendClose(STATUS.normal);
      stream.push(null);
    },
  });
  const receive = (data: Uint8Array): void => {
    try {
      reader.read(data);
    } catch {
      sendClose(STATUS.protocolError);
      stream.destroy();
    }
  };
  // after those who listen to the end
  stream.on("end", () => setImmediate(() => stream.destroy()));
  stream.on("error", () => {});
  socket.on("data", receive);
  socket.on("end", () => stream.destroy());
  socket.on("close", () => stream.destroy());
  if (early.length > 0) receive(early);
  return stream;
}
