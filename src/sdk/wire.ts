import type { Address } from "./address.ts";
import type { TlsOptions } from "./tls.ts";

/** What a connection tells its user. */
export interface WireEvents {
  data(chunk: Uint8Array): void;
  /** Nothing more comes in. */
  end(error?: Error): void;
}

/** A connected socket, on whatever runtime. */
export interface Wire {
  readonly isOpen: boolean;
  /** Resolves when more may be written; what is written after the end is dropped. */
  write(data: Uint8Array | string): Promise<void>;
  /** Half-close: this side has said everything. */
  end(): void;
  destroy(): void;
  pause(): void;
  resume(): void;
  /** Whether the open connection keeps the program alive: it does, until `unref`. */
  ref(): void;
  unref(): void;
}

/** Connects; with `tls`, over it. @throws what the system says, with its errno name in `code` */
export async function connectWire(address: Address, events: WireEvents, tls?: TlsOptions): Promise<Wire> {
  if (address.kind === "ssh") return (await import("./wire-ssh.ts")).connectSsh(address, events);
  if (address.kind === "tcp" && tls !== undefined) return (await import("./wire-tls.ts")).connectTls(address, tls, events);
  // Bun's own sockets need no module of Node's, which would be most of a command line's start.
  if (typeof Bun !== "undefined") return (await import("./wire-bun.ts")).connectBun(address, events);
  return (await import("./wire-node.ts")).connectNode(address, events);
}
