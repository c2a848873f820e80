import { isErrno } from "../errno.ts";
import { type MessageWriter, NLM_F } from "./message.ts";
import { commit, encodeTransaction, NFNL_SUBSYS_NFTABLES, type NftBatch, type NftTable, nfgen, writeDeleteTable } from "./nftables.ts";
import type { NetlinkSocket } from "./socket.ts";

// linux/netfilter/nf_tables.h
const NEWTABLE = 0;
const NEWCHAIN = 3;
const GETCHAIN = 4;
const NEWRULE = 6;
const GETRULE = 7;
const TABLE = { NAME: 1, FLAGS: 2 } as const;
const CHAIN = { TABLE: 1, NAME: 3, HOOK: 4, POLICY: 5, TYPE: 7 } as const;
const HOOK = { HOOKNUM: 1, PRIORITY: 2 } as const;
const RULE = { TABLE: 1, CHAIN: 2, EXPRESSIONS: 4 } as const;
const LIST_ELEM = 1;
const EXPR = { NAME: 1, DATA: 2 } as const;
const PAYLOAD = { DREG: 1, BASE: 2, OFFSET: 3, LEN: 4, SREG: 5, CSUM_TYPE: 6, CSUM_OFFSET: 7 } as const;
const CMP = { SREG: 1, OP: 2, DATA: 3 } as const;
const META = { DREG: 1, KEY: 2 } as const;
const IMMEDIATE = { DREG: 1, DATA: 2 } as const;
const DATA_VALUE = 1;
const REG_1 = 1;
const CMP_EQ = 0;
const META_L4PROTO = 16;
const CSUM_INET = 1;
const NF_ACCEPT = 1;

/** Where a packet is looked at. @see linux/netfilter.h */
export const NF_INET = { PREROUTING: 0, INPUT: 1, FORWARD: 2, OUTPUT: 3, POSTROUTING: 4 } as const;

/** Order among the chains of one place; the least comes first. @see linux/netfilter_ipv4.h */
export const NF_PRIORITY = { RAW: -300, CONNTRACK: -200, FILTER: 0, CONNTRACK_HELPER: 300 } as const;

/** From where a packet's bytes are counted. @see enum nft_payload_bases */
export const PAYLOAD_BASE = { NETWORK: 1, TRANSPORT: 2 } as const;

/** One step of a rule; a comparison that fails ends the rule. */
export type NftExpression = (w: MessageWriter) => void;

/** A chain at a hook, of type filter and policy accept. */
export interface NftBaseChain {
  readonly name: string;
  /** One of `NF_INET`. */
  readonly hook: number;
  readonly priority: number;
  readonly rules: readonly (readonly NftExpression[])[];
}

function expression(w: MessageWriter, name: string, data: () => void): void {
  w.nest(LIST_ELEM, () => w.attrText(EXPR.NAME, name).nest(EXPR.DATA, data));
}

/** The packet has these bytes at `offset`, as `nft` writes `ip daddr 127.0.0.1` or `udp dport 53`. */
export function payloadIs(base: number, offset: number, value: Uint8Array): NftExpression {
  return (w) => {
    expression(w, "payload", () => {
      w.attrU32be(PAYLOAD.DREG, REG_1).attrU32be(PAYLOAD.BASE, base);
      w.attrU32be(PAYLOAD.OFFSET, offset).attrU32be(PAYLOAD.LEN, value.length);
    });
    isEqual(w, value);
  };
}

/** The packet's transport protocol: 6 for TCP, 17 for UDP. */
export function transportIs(protocol: number): NftExpression {
  return (w) => {
    expression(w, "meta", () => w.attrU32be(META.KEY, META_L4PROTO).attrU32be(META.DREG, REG_1));
    isEqual(w, Uint8Array.of(protocol));
  };
}

function isEqual(w: MessageWriter, value: Uint8Array): void {
  expression(w, "cmp", () => {
    w.attrU32be(CMP.SREG, REG_1).attrU32be(CMP.OP, CMP_EQ);
    w.nest(CMP.DATA, () => w.attr(DATA_VALUE, value));
  });
}

/** Puts these bytes into the packet and corrects its Internet checksum, which is `checksumAt` bytes behind the same base. */
export function payloadSet(base: number, offset: number, value: Uint8Array, checksumAt: number): NftExpression {
  return (w) => {
    expression(w, "immediate", () => {
      w.attrU32be(IMMEDIATE.DREG, REG_1).nest(IMMEDIATE.DATA, () => w.attr(DATA_VALUE, value));
    });
    expression(w, "payload", () => {
      w.attrU32be(PAYLOAD.SREG, REG_1).attrU32be(PAYLOAD.BASE, base);
      w.attrU32be(PAYLOAD.OFFSET, offset).attrU32be(PAYLOAD.LEN, value.length);
      w.attrU32be(PAYLOAD.CSUM_TYPE, CSUM_INET).attrU32be(PAYLOAD.CSUM_OFFSET, checksumAt);
    });
  };
}

const typeOf = (message: number): number => (NFNL_SUBSYS_NFTABLES << 8) | message;

function writeTable(w: MessageWriter, table: NftTable, sequence: number, flags: number): void {
  w.message(typeOf(NEWTABLE), NLM_F.REQUEST | flags, sequence, () => {
    nfgen(w, table.family, 0);
    w.attrText(TABLE.NAME, table.name).attrU32be(TABLE.FLAGS, 0);
  });
}

function writeChain(w: MessageWriter, table: NftTable, chain: NftBaseChain, sequence: number): void {
  w.message(typeOf(NEWCHAIN), NLM_F.REQUEST | NLM_F.CREATE, sequence, () => {
    nfgen(w, table.family, 0);
    w.attrText(CHAIN.TABLE, table.name).attrText(CHAIN.NAME, chain.name).attrText(CHAIN.TYPE, "filter").attrU32be(CHAIN.POLICY, NF_ACCEPT);
    w.nest(CHAIN.HOOK, () => w.attrU32be(HOOK.HOOKNUM, chain.hook).attrU32be(HOOK.PRIORITY, chain.priority >>> 0));
  });
}

function writeRule(w: MessageWriter, table: NftTable, chain: string, steps: readonly NftExpression[], sequence: number): void {
  w.message(typeOf(NEWRULE), NLM_F.REQUEST | NLM_F.CREATE | NLM_F.APPEND, sequence, () => {
    nfgen(w, table.family, 0);
    w.attrText(RULE.TABLE, table.name).attrText(RULE.CHAIN, chain);
    w.nest(RULE.EXPRESSIONS, () => {
      for (const step of steps) step(w);
    });
  });
}

/**
 * The transaction that makes a table with its chains and rules. With `isReplacing` whatever has its name goes first; else the name must be
 * free. Messages are those that `nft -f` sends.
 */
export function encodeTable(table: NftTable, chains: readonly NftBaseChain[], next: () => number, isReplacing = false): NftBatch {
  return encodeTransaction(next, (w, calls) => {
    const numbered = (what: string): number => {
      const sequence = next();
      calls.set(sequence, what);
      return sequence;
    };
    if (isReplacing) {
      // deleting what isn't there would fail: it is made first
      writeTable(w, table, numbered("add table"), 0);
      writeDeleteTable(w, table, numbered("delete table"), 0);
    }
    writeTable(w, table, numbered("add table"), NLM_F.ACK | (isReplacing ? 0 : NLM_F.CREATE | NLM_F.EXCL));
    for (const chain of chains) writeChain(w, table, chain, numbered(`add chain ${chain.name}`));
    for (const chain of chains) {
      for (const rule of chain.rules) writeRule(w, table, chain.name, rule, numbered(`add rule ${chain.name}`));
    }
  });
}

/** Makes a table with its chains and rules, in one transaction. @throws {NetlinkError} EEXIST, EPERM, EOPNOTSUPP */
export function addTable(socket: NetlinkSocket, table: NftTable, chains: readonly NftBaseChain[]): void {
  commit(
    socket,
    table,
    encodeTable(table, chains, () => socket.sequence()),
  );
}

/** The same in place of the table of that name, if there is one: the kernel waits for a grace period, some 20 ms. @throws {NetlinkError} */
export function replaceTable(socket: NetlinkSocket, table: NftTable, chains: readonly NftBaseChain[]): void {
  commit(
    socket,
    table,
    encodeTable(table, chains, () => socket.sequence(), true),
  );
}

/** Whether a table has a chain of that name. @throws {NetlinkError} */
export function hasChain(socket: NetlinkSocket, table: NftTable, chain: string): boolean {
  const body = (w: MessageWriter): void => {
    nfgen(w, table.family, 0);
    w.attrText(CHAIN.TABLE, table.name).attrText(CHAIN.NAME, chain);
  };
  try {
    socket.query({ type: typeOf(GETCHAIN), call: "nft get chain", arg: chain, body }, () => {});
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}

/** Whether a chain of a table has rules; one that is not there has none. @throws {NetlinkError} */
export function hasRules(socket: NetlinkSocket, table: NftTable, chain: string): boolean {
  let count = 0;
  const body = (w: MessageWriter): void => {
    nfgen(w, table.family, 0);
    w.attrText(RULE.TABLE, table.name).attrText(RULE.CHAIN, chain);
  };
  try {
    socket.query({ type: typeOf(GETRULE), flags: NLM_F.DUMP, call: "nft list rules", arg: chain, body }, () => {
      count++;
    });
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  return count > 0;
}
