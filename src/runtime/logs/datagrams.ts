import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { DhowError } from "../../lib/mod.ts";
import { connectUdp, connectUnixDatagram, type Fd, isErrno, sendDatagram, sendFdDatagram } from "../../linux/mod.ts";
import { PartlySent } from "./receiver.ts";

/** A receiver's queue holds ten datagrams or so: it has room again soon, or it is slow. */
const QUICK_TRIES = 50;
const FULL_MS = 5;
/** Messages between two looks at what else there is to do. */
const TURN = 256;

/** Where datagrams go. */
export type DatagramTarget =
  | { readonly kind: "udp"; readonly host: string; readonly port: number }
  | { readonly kind: "unixgram"; readonly path: string };

/** A datagram socket that is made when it is needed, and again after it was lost. */
export class DatagramConnection {
  readonly #target: DatagramTarget;
  #socket: Fd | undefined;

  constructor(target: DatagramTarget) {
    this.#target = target;
  }

  /** @throws unavailable in the words of Go's dial errors */
  async connect(): Promise<void> {
    if (this.#socket !== undefined) return;
    const target = this.#target;
    if (target.kind === "udp") this.#socket = connectUdp(await resolve(target.host), target.port);
    else {
      try {
        this.#socket = connectUnixDatagram(target.path);
      } catch (error) {
        const reason = error instanceof Error ? error.message.replace(/^.*?: /, "") : String(error);
        throw new DhowError("unavailable", `dial unixgram ${target.path}: connect: ${reason}`, { cause: error });
      }
    }
  }

  /**
   * Sends one datagram for each item, waiting while the receiver's queue is full. UDP's receiver may be gone: that is no error.
   * @throws PartlySent
   */
  async sendAll<T>(
    items: readonly T[],
    encode: (item: T) => readonly Datagram[] | Promise<readonly Datagram[]>,
    signal: AbortSignal,
  ): Promise<void> {
    let sent = 0;
    try {
      await this.connect();
      for (const item of items) {
        const encoded = encode(item);
        for (const datagram of encoded instanceof Promise ? await encoded : encoded) {
          for (let tries = 0; !this.#sendOne(datagram); tries++) await pause(tries, signal);
        }
        sent++;
        if (sent % TURN === 0) await new Promise((next) => setImmediate(next));
        if (signal.aborted) throw new DhowError("unavailable", "sending was stopped");
      }
    } catch (error) {
      throw new PartlySent(sent, error);
    }
  }

  #sendOne(datagram: Datagram): boolean {
    const socket = this.#socket;
    if (socket === undefined) throw new DhowError("unavailable", "the socket was closed");
    const send = (): boolean => (datagram instanceof Uint8Array ? sendDatagram(socket.fd, datagram) : sendLarge(socket.fd, datagram));
    if (this.#target.kind !== "udp") return send();
    try {
      return send();
    } catch (error) {
      if (!isErrno(error, "ECONNREFUSED")) throw error;
      // that was said of an earlier one; of this one it may be said later
      return send();
    }
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }
}

function pause(tries: number, signal: AbortSignal): Promise<void> {
  return tries < QUICK_TRIES ? new Promise((next) => setImmediate(next)) : sleep(FULL_MS, undefined, { signal });
}

/** Bytes, or bytes with another way for when they are too many for a datagram. */
export type Datagram = Uint8Array | { readonly data: Uint8Array; readonly asFile: (data: Uint8Array) => Fd };

function sendLarge(socket: number, { data, asFile }: Exclude<Datagram, Uint8Array>): boolean {
  try {
    return sendDatagram(socket, data);
  } catch (error) {
    if (!isErrno(error, "EMSGSIZE")) throw error;
    using file = asFile(data);
    return sendFdDatagram(socket, file.fd);
  }
}

async function resolve(host: string): Promise<Uint8Array> {
  try {
    const { address } = isIP(host) === 0 ? await lookup(host) : { address: host };
    return addressBytes(address);
  } catch (error) {
    throw new DhowError("unavailable", `dial udp: lookup ${host}: no such host`, { cause: error });
  }
}

/** The bytes of an IPv4 or IPv6 address, in network order. */
function addressBytes(address: string): Uint8Array {
  if (isIP(address) === 4) return Uint8Array.from(address.split("."), Number);
  const [head = "", tail = ""] = address.split("%")[0]?.split("::") ?? [];
  const groups = (part: string): number[] => part.split(":").flatMap((group) => (group === "" ? [] : [Number.parseInt(group, 16)]));
  const [before, behind] = [groups(head), groups(tail)];
  const all = [...before, ...new Array<number>(8 - before.length - behind.length).fill(0), ...behind];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}
