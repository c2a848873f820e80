import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { thrownCode } from "../test-support.ts";
import { decodeMessages } from "./message.ts";
import { createNetnsFd, currentNetns } from "./netns.ts";
import {
  addTable,
  encodeTable,
  hasChain,
  hasRules,
  NF_INET,
  NF_PRIORITY,
  type NftBaseChain,
  type NftExpression,
  PAYLOAD_BASE,
  payloadIs,
  payloadSet,
  replaceTable,
  transportIs,
} from "./nft-rules.ts";
import { NFPROTO } from "./nftables.ts";
import { NETLINK, NetlinkSocket } from "./socket.ts";

const TABLE = { family: NFPROTO.IPV4, name: "dhow-dns" } as const;

/** `ip saddr|daddr 127.0.0.11 udp|tcp sport|dport <from> udp|tcp sport|dport set <to>` */
function rule(addressAt: number, portAt: number, protocol: number, ports: readonly [Uint8Array, Uint8Array]): NftExpression[] {
  return [
    payloadIs(PAYLOAD_BASE.NETWORK, addressAt, Uint8Array.of(127, 0, 0, 11)),
    transportIs(protocol),
    payloadIs(PAYLOAD_BASE.TRANSPORT, portAt, ports[0]),
    payloadSet(PAYLOAD_BASE.TRANSPORT, portAt, ports[1], protocol === 17 ? 6 : 16),
  ];
}

const PORT_53 = Uint8Array.of(0, 53);
const PORT_61053 = Uint8Array.of(0xee, 0x7d);
const CHAINS: readonly NftBaseChain[] = [
  {
    name: "question-61053",
    hook: NF_INET.OUTPUT,
    priority: NF_PRIORITY.CONNTRACK_HELPER,
    rules: [17, 6].map((protocol) => rule(16, 2, protocol, [PORT_53, PORT_61053])),
  },
  {
    name: "answer-61053",
    hook: NF_INET.OUTPUT,
    priority: NF_PRIORITY.RAW,
    rules: [17, 6].map((protocol) => rule(12, 0, protocol, [PORT_61053, PORT_53])),
  },
];

function insideNewNetns(work: (socket: NetlinkSocket) => void): void {
  using home = currentNetns();
  createNetnsFd(home, () => {
    using socket = new NetlinkSocket(NETLINK.NETFILTER);
    work(socket);
  }).close();
}

test("encodeTable() writes the chains and rules that nft 1.0.6 sends", () => {
  // captured: nft -f with this table, one message a line
  const golden = readFileSync(join(import.meta.dir, "testdata/redirect.hex"), "utf8")
    .trim()
    .split("\n");
  let sequence = -1;
  const { bytes, calls } = encodeTable(TABLE, CHAINS, () => ++sequence);
  const messages = decodeMessages(bytes);
  let at = 0;
  const hex = messages.map(({ body }) => {
    const message = bytes.subarray(at, at + 16 + body.length);
    at += (message.length + 3) & ~3;
    return Buffer.from(message).toString("hex");
  });
  // of the table nft says neither "must be new" nor "acknowledge"
  expect(hex[1]?.replace("000a0506", "000a0100")).toBe(golden[1] ?? "");
  expect(hex.toSpliced(1, 1)).toEqual(golden.toSpliced(1, 1));
  expect([...calls.values()].filter((call) => call.startsWith("add"))).toEqual([
    "add table",
    "add chain question-61053",
    "add chain answer-61053",
    ...["question", "question", "answer", "answer"].map((name) => `add rule ${name}-61053`),
  ]);
});

test("addTable() makes a table once, replaceTable() in any case, hasChain() and hasRules() see what is there", () => {
  insideNewNetns((socket) => {
    expect(hasChain(socket, TABLE, "question-61053")).toBe(false);
    expect(hasRules(socket, TABLE, "question-61053")).toBe(false);
    addTable(socket, TABLE, CHAINS);
    expect(hasRules(socket, TABLE, "question-61053")).toBe(true);
    expect(hasRules(socket, TABLE, "nowhere")).toBe(false);
    expect(hasChain(socket, TABLE, "question-61053")).toBe(true);
    expect(hasChain(socket, TABLE, "other")).toBe(false);
    expect(thrownCode(() => addTable(socket, TABLE, CHAINS))).toBe("EEXIST");
    replaceTable(socket, TABLE, [{ name: "other", hook: NF_INET.INPUT, priority: NF_PRIORITY.FILTER, rules: [] }]);
    expect(hasChain(socket, TABLE, "question-61053")).toBe(false);
    expect(hasChain(socket, TABLE, "other")).toBe(true);
    expect(hasRules(socket, TABLE, "other")).toBe(false);
    replaceTable(socket, { ...TABLE, name: "fresh" }, CHAINS);
    expect(hasChain(socket, { ...TABLE, name: "fresh" }, "answer-61053")).toBe(true);
  });
});
