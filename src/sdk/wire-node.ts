import { createConnection, type Socket } from "node:net";
import type { Address } from "./address.ts";
import type { Wire, WireEvents } from "./wire.ts";

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off("drain", done);
      socket.off("close", done);
      resolve();
    };
    socket.on("drain", done);
    socket.on("close", done);
  });
}

/** Connects with `node:net`. */
export function connectNode(address: Address, events: WireEvents): Promise<Wire> {
  const where = address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port };
  return new Promise((resolve, reject) => {
    const socket = createConnection({ ...where, allowHalfOpen: true });
    socket.once("error", reject);
    socket.once("connect", () => {
      socket.off("error", reject);
      socket.on("data", (chunk: Uint8Array) => events.data(chunk));
      socket.on("end", () => events.end());
      socket.on("close", () => events.end());
      socket.on("error", (error) => events.end(error));
      if (address.kind === "tcp") socket.setNoDelay(true);
      resolve({
        get isOpen() {
          return !socket.destroyed;
        },
        write: async (data) => {
          if (socket.destroyed || socket.writableEnded) return;
          if (!socket.write(data)) await drained(socket);
        },
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
      });
    });
  });
}
