import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { decodeLoggedPacket } from "./packet-log.ts";

const SCRIPT = `
  import { PacketLog } from ${JSON.stringify(join(import.meta.dir, "packet-log.ts"))};
  import { createSocket } from "node:dgram";
  Bun.spawnSync(["ip", "link", "set", "lo", "up"]);
  const nft = Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(\`table inet t {
    chain n { type nat hook output priority -100; udp dport 7001 dnat ip to 127.0.0.3:7002; }
    chain f { type filter hook output priority 0; udp dport { 7002, 7003 } log prefix "one" group 7 snaplen 128 drop; }
  }\`) });
  if (nft.exitCode !== 0) throw new Error(nft.stderr.toString());
  const found = [];
  {
    using log = new PacketLog(7);
    let code = "";
    try { using second = new PacketLog(7); } catch (error) { code = error.code; }
    found.push(code);
    const sockets = { 4: createSocket("udp4"), 6: createSocket("udp6") };
    const send = (family, address, port) => new Promise((resolve) => sockets[family].send("x", port, address, resolve));
    await send(4, "127.0.0.2", 7001);
    await send(6, "::1", 7003);
    for (const until = Date.now() + 5000; found.length < 3 && Date.now() < until; await Bun.sleep(10)) {
      for (const { prefix, source, destination } of log.read()) {
        const { address, protocol, port } = destination;
        found.push([prefix, Buffer.from(source).toString("hex"), Buffer.from(address).toString("hex"), protocol, port].join(" "));
      }
    }
  }
  // free again
  using again = new PacketLog(7);
  console.log(JSON.stringify(found));
  process.exit(0);
`;

test.skipIf(process.getuid?.() !== 0)(
  "packets that nft logs are read with where they were sent, a group by one reader (needs root)",
  () => {
    const { stdout, stderr } = Bun.spawnSync(["unshare", "-n", process.execPath, "-e", SCRIPT]);
    expect(stderr.toString()).toBe("");
    const one = "00000000000000000000000000000001";
    expect(JSON.parse(stdout.toString())).toEqual([
      "EPERM",
      // a kernel without NETFILTER_NETLINK_GLUE_CT tells what it was translated to
      expect.stringMatching(/^one 7f000001 (7f000002 17 7001|7f000003 17 7002)$/),
      `one ${one} ${one} 17 7003`,
    ]);
  },
);

describe("decodeLoggedPacket()", () => {
  const attribute = (type: number, value: readonly number[]): number[] => {
    const padding = new Array((4 - (value.length % 4)) % 4).fill(0);
    return [value.length + 4, 0, type, 0, ...value, ...padding];
  };
  const body = (...attributes: readonly number[][]): Uint8Array => Uint8Array.from([2, 0, 0, 7, ...attributes.flat()]);
  const ipv4 = (protocol: number, fragment: number): number[] => [
    ...[0x45, 0, 0, 28, 0, 0, 0, fragment, 64, protocol, 0, 0, 10, 0, 0, 2, 203, 0, 113, 4],
    ...[0xc3, 0x50, 0x01, 0xbb, 0, 8, 0, 0],
  ];
  const PAYLOAD = 9;
  const PHYSINDEV = 6;

  test("reads the headers where the flow is not known", () => {
    const { source, destination, inInterface } = decodeLoggedPacket(
      body(attribute(PHYSINDEV, [0, 0, 1, 2]), attribute(PAYLOAD, ipv4(6, 0))),
    );
    expect(inInterface).toBe(258);
    expect(source).toEqual(Uint8Array.of(10, 0, 0, 2));
    expect(destination).toMatchObject({ address: Uint8Array.of(203, 0, 113, 4), protocol: 6, port: 443 });
  });

  test("tells where a packet was sent before it was translated", () => {
    const proto = [...attribute(1, [6]), ...attribute(2, [0xc3, 0x50]), ...attribute(3, [0x1f, 0x90])];
    const tuple = attribute(1, [
      ...attribute(1, [...attribute(1, [10, 0, 0, 2]), ...attribute(2, [198, 51, 100, 1])]),
      ...attribute(2, proto),
    ]);
    const { source, destination } = decodeLoggedPacket(body(attribute(PAYLOAD, ipv4(6, 0)), attribute(18, tuple)));
    expect(source).toEqual(Uint8Array.of(10, 0, 0, 2));
    expect(destination).toEqual({ address: Uint8Array.of(198, 51, 100, 1), protocol: 6, port: 8080 });
  });

  test("finds no port in later fragments and in protocols without any, and nothing in what is no IP packet", () => {
    expect(decodeLoggedPacket(body(attribute(PAYLOAD, ipv4(17, 9)))).destination?.port).toBe(0);
    expect(decodeLoggedPacket(body(attribute(PAYLOAD, ipv4(1, 0)))).destination?.port).toBe(0);
    for (const payload of [[], [0x45, 0, 0], [0x60, ...new Array(38).fill(0)], [0, 1, 8, 0, 6, 4, 0, 1]]) {
      expect(decodeLoggedPacket(body(attribute(PAYLOAD, payload)))).toMatchObject({ source: undefined, destination: undefined });
    }
  });
});
