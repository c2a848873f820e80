import type { Logger } from "../../lib/mod.ts";
import { EPOLLIN, type LoggedPacket, PacketLog, Reactor } from "../../linux/mod.ts";
import { formatIp, ipOfBytes } from "../ip.ts";
import { FOREIGN_ROUTER, FOREIGN_SENDER } from "./egress-table.ts";

/** The first packet to a destination that a policy denied, or would have. */
export interface DeniedPacket {
  /** The container's address. */
  readonly source: string;
  readonly address: string;
  /** An IP protocol's number. */
  readonly protocol: number;
  /** 0 for protocols without ports. */
  readonly port: number;
}

/** A frame that a container under a policy must not send, whatever it allows. */
export interface DeniedFrame {
  /** Index of its port on the host. */
  readonly port: number;
  readonly reason: "not its own address" | "by a neighbour that routes";
  /** The addresses that it has; undefined: it is no IP packet. */
  readonly source: string | undefined;
  readonly address: string | undefined;
}

export interface DenialLogDeps {
  readonly log: Logger;
  readonly onPacket: (packet: DeniedPacket) => void;
  readonly onFrame: (frame: DeniedFrame) => void;
}

/** Reads which packets the rules of egress policies log. What is denied while nobody reads is counted all the same. */
export class DenialLog {
  readonly #deps: DenialLogDeps;
  #open: DisposableStack | undefined;
  #hasFailed = false;

  constructor(deps: DenialLogDeps) {
    this.#deps = deps;
  }

  /** Begins to read a group of the namespace that this thread is in; where that can't be, it is said once. */
  open(group: number, isLogging: () => boolean): void {
    if (this.#open !== undefined || this.#hasFailed) return;
    try {
      if (isLogging()) this.#open = this.#read(group);
      else this.#fail("this kernel has no nfnetlink_log: what egress policies deny is counted, and not logged");
    } catch (error) {
      this.#fail("what egress policies deny is counted, and not logged", { group, error });
    }
  }

  #fail(message: string, fields = {}): void {
    this.#hasFailed = true;
    this.#deps.log.warn(message, fields);
  }

  #read(group: number): DisposableStack {
    using stack = new DisposableStack();
    const packets = stack.use(new PacketLog(group));
    const reactor = stack.use(new Reactor(this.#deps.log));
    stack.use(
      reactor.watch(packets.fd, EPOLLIN, () => {
        for (const packet of packets.read()) this.#tell(packet);
      }),
    );
    return stack.move();
  }

  #tell({ source, destination, prefix, inInterface: port }: LoggedPacket): void {
    const [from, address] = [source, destination?.address].map((bytes) => bytes && formatIp(ipOfBytes(bytes)));
    if (prefix === FOREIGN_SENDER || prefix === FOREIGN_ROUTER) {
      const reason = prefix === FOREIGN_SENDER ? "not its own address" : "by a neighbour that routes";
      if (port !== undefined) this.#deps.onFrame({ port, reason, source: from, address });
    } else if (from !== undefined && address !== undefined && destination !== undefined) {
      this.#deps.onPacket({ ...destination, source: from, address });
    }
  }

  close(): void {
    this.#open?.dispose();
    this.#open = undefined;
  }
}
