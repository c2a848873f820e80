import { check, isErrno } from "../errno.ts";
import { libc } from "../libc.ts";
import { decodeAttributes, readText } from "./message.ts";
import { NFNL_SUBSYS_NFTABLES } from "./nftables.ts";
import { NETLINK, NetlinkSocket } from "./socket.ts";

const AF_NETLINK = 16;
// linux/netfilter/nfnetlink.h
const NFNLGRP_NFTABLES = 7;
// linux/netfilter/nf_tables.h; each of them names its table in its first attribute
const [DELTABLE, DELCHAIN, DELRULE, DELSET] = [2, 5, 8, 11];
const REMOVALS: ReadonlySet<number> = new Set([DELTABLE, DELCHAIN, DELRULE, DELSET].map((type) => (NFNL_SUBSYS_NFTABLES << 8) | type));
const ATTR_TABLE = 1;
const NFGEN_LENGTH = 4;
/** More than the kernel puts into one datagram. */
const RECEIVE_BYTES = 128 * 1024;
/** At one reading. */
const MAX_DATAGRAMS = 64;

/** Tells of which tables of nftables somebody has removed something, in the namespace it was made in. Nothing here waits. */
export class NftRemovals implements Disposable {
  readonly #socket: NetlinkSocket;

  /** @throws {SysError} EPERM */
  constructor() {
    this.#socket = new NetlinkSocket(NETLINK.NETFILTER, { receiveBytes: RECEIVE_BYTES });
    try {
      // struct sockaddr_nl, the groups as bits
      const address = new Uint8Array(12);
      const view = new DataView(address.buffer);
      view.setUint16(0, AF_NETLINK, true);
      view.setUint32(8, 1 << (NFNLGRP_NFTABLES - 1), true);
      check(libc.symbols.bind(this.#socket.fd, address, address.length), "bind", "netlink");
    } catch (error) {
      this.#socket[Symbol.dispose]();
      throw error;
    }
  }

  /** To be watched for EPOLLIN. */
  get fd(): number {
    return this.#socket.fd;
  }

  /**
   * Names of tables, of any family, that were removed or that chains, rules or sets were removed from since the last call, this process's
   * own changes among them. "any": messages were lost. What is left of very many comes with the next call. @throws {SysError}
   */
  read(): ReadonlySet<string> | "any" {
    const tables = new Set<string>();
    try {
      for (let datagrams = 0; datagrams < MAX_DATAGRAMS; datagrams++) {
        const messages = this.#socket.receive();
        if (messages === undefined) break;
        for (const { type, body } of messages) {
          if (REMOVALS.has(type)) tables.add(readText(decodeAttributes(body, NFGEN_LENGTH).get(ATTR_TABLE)) ?? "");
        }
      }
      return tables;
    } catch (error) {
      if (isErrno(error, "ENOBUFS")) return "any";
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
