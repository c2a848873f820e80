import { createConnection, type Socket } from "node:net";
import type { Writable } from "node:stream";
import type { Address, SshAddress } from "./address.ts";
import type { Wire, WireEvents } from "./wire.ts";

/** Writes; resolves when more may be written. */
export async function writeTo(sink: Writable, data: Uint8Array | string): Promise<void> {
  if (sink.destroyed || sink.writableEnded || sink.write(data)) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      sink.off("drain", done);
      sink.off("close", done);
      resolve();
    };
    sink.on("drain", done);
    sink.on("close", done);
  });
}

/** A connected socket of Node's as a wire; from now on its events go to `events`. */
export function socketWire(socket: Socket, events: WireEvents): Wire {
  socket.on("data", (chunk: Uint8Array) => events.data(chunk));
  socket.on("end", () => events.end());
  socket.on("close", () => events.end());
  socket.on("error", (error) => events.end(error));
  return {
    get isOpen() {
      return !socket.destroyed;
    },
    write: (data) => writeTo(socket, data),
    end: () => {
      socket.end();
    },
    destroy: () => {
      socket.destroy();
    },
    pause: () => {
      socket.pause();
    },
    resume: () => {
      socket.resume();
    },
    ref: () => {
      socket.ref();
    },
    unref: () => {
      socket.unref();
    },
  };
}

/** Connects with `node:net`. */
export function connectNode(address: Exclude<Address, SshAddress>, events: WireEvents): Promise<Wire> {
  const where = address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port };
  return new Promise((resolve, reject) => {
    const socket = createConnection({ ...where, allowHalfOpen: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      if (address.kind === "tcp") socket.setNoDelay(true);
      resolve(socketWire(socket, events));
    });
  });
}
