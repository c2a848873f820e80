import { expect, test } from "bun:test";
import { createNetnsFd, currentNetns } from "./netns.ts";
import { listElements } from "./nft-elements.ts";
import { changeSets, NFPROTO, type SetElement } from "./nftables.ts";
import { NETLINK, NetlinkSocket } from "./socket.ts";

const TABLE = { family: NFPROTO.INET, name: "t" } as const;
const SCRIPT = `table inet t {
  set names { type ipv4_addr . ipv4_addr; flags timeout; }
  set places { type ifname . ipv4_addr; flags interval; }
  set seen { type ipv4_addr; counter; }
}`;

/** A socket in a namespace of its own, with the table. */
async function withTable(): Promise<NetlinkSocket> {
  using home = currentNetns();
  let socket: NetlinkSocket | undefined;
  using netns = createNetnsFd(home, () => {
    socket = new NetlinkSocket(NETLINK.NETFILTER);
  });
  const nft = Bun.spawn(["nsenter", `--net=/proc/${process.pid}/fd/${netns.fd}`, "nft", "-f", "-"], { stdin: Buffer.from(SCRIPT) });
  expect(await nft.exited).toBe(0);
  if (socket === undefined) throw new Error("no socket");
  return socket;
}

test("elements with a time to live and a comment are listed; put leaves what is there", async () => {
  using socket = await withTable();
  const pair: SetElement = { key: Uint8Array.of(10, 0, 0, 2, 192, 0, 2, 1), timeoutMs: 60_000, comment: "example.org" };
  changeSets(socket, TABLE, [{ verb: "put", set: "names", elements: [pair] }]);
  const [first] = listElements(socket, TABLE, "names");
  expect(first).toEqual({ key: pair.key, keyEnd: undefined, expiresMs: expect.any(Number), comment: "example.org", packets: 0 });
  expect(first?.expiresMs).toBeGreaterThan(50_000);
  changeSets(socket, TABLE, [{ verb: "put", set: "names", elements: [{ key: pair.key, timeoutMs: 60_000, comment: "other" }] }]);
  expect(listElements(socket, TABLE, "names").map(({ comment }) => comment)).toEqual(["example.org"]);
  expect(() => changeSets(socket, TABLE, [{ verb: "add", set: "names", elements: [pair] }])).toThrow("file exists");
  // in one transaction: there or not, it is there anew
  const again = { ...pair, timeoutMs: 3_600_000, comment: "again" };
  changeSets(
    socket,
    TABLE,
    (["put", "delete", "put"] as const).map((verb) => ({ verb, set: "names", elements: [again] })),
  );
  const [renewed] = listElements(socket, TABLE, "names");
  expect(renewed?.comment).toBe("again");
  expect(renewed?.expiresMs).toBeGreaterThan(3_000_000);
});

test("intervals and counters are listed, from as many datagrams as it takes", async () => {
  using socket = await withTable();
  const port = [...Buffer.from("veth0".padEnd(16, "\0"))];
  const element = (n: number): SetElement => ({
    key: Uint8Array.of(...port, 10, n >> 8, n & 255, 0),
    keyEnd: Uint8Array.of(...port, 10, n >> 8, n & 255, 255),
  });
  const elements = Array.from({ length: 1000 }, (_, n) => element(n));
  changeSets(socket, TABLE, [
    { verb: "add", set: "places", elements },
    { verb: "add", set: "seen", elements: [{ key: Uint8Array.of(127, 0, 0, 1) }] },
  ]);
  const listed = listElements(socket, TABLE, "places");
  expect(listed.length).toBe(1000);
  expect(listed.every(({ key, keyEnd }) => key.at(-1) === 0 && keyEnd?.at(-1) === 255)).toBe(true);
  expect(listElements(socket, TABLE, "seen")).toEqual([
    { key: Uint8Array.of(127, 0, 0, 1), keyEnd: undefined, expiresMs: undefined, comment: undefined, packets: 0 },
  ]);
  expect(() => listElements(socket, TABLE, "none")).toThrow("no such file");
});
