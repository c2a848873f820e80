import { describe, expect, test } from "bun:test";
import { AddressPool } from "./address-pool.ts";
import { formatIp, formatPrefix, parseIp, parsePrefix } from "./ip.ts";
import { chooseSubnet, DEFAULT_BRIDGE_POOLS, DEFAULT_POOLS, findSubnet, poolsOfSize } from "./ipam.ts";
import { parseMac } from "./mac.ts";

const remedy = "give it a larger subnet";

test("parseMac() is strict", () => {
  expect([...parseMac("02:42:0A:01-02-03".replaceAll("-", ":"))]).toEqual([2, 66, 10, 1, 2, 3]);
  expect(() => parseMac("02:42")).toThrow(/invalid MAC address/);
});

describe("chooseSubnet()", () => {
  const choose = (...taken: string[]): string => formatPrefix(chooseSubnet(DEFAULT_BRIDGE_POOLS, taken.map(parsePrefix)));

  test("takes the first network that no route overlaps and names the setting when there is none", () => {
    expect(choose()).toBe("172.17.0.0/16");
    expect(choose("172.16.0.0/14")).toBe("172.20.0.0/16");
    expect(choose("172.16.0.0/12", "192.168.1.0/24")).toBe("192.168.16.0/20");
    expect(() => chooseSubnet([{ base: "10.0.0.0/16", size: 24 }], [parsePrefix("10.0.0.0/8")])).toThrow(/default-address-pool/);
  });

  test("the default supply has room for 1,000 networks beside a default bridge elsewhere", () => {
    const taken = [];
    for (let i = 0; i < 1000; i++) {
      const found = findSubnet(DEFAULT_POOLS, 4, taken);
      if (found === undefined) break;
      taken.push(found);
    }
    expect(taken).toHaveLength(1000);
    expect(new Set(taken.map(formatPrefix)).size).toBe(1000);
  });

  test("keeps the families apart", () => {
    const pools = [
      { base: "10.0.0.0/24", size: 25 },
      { base: "fd00::/48", size: 64 },
    ];
    expect(formatPrefix(chooseSubnet(pools, [parsePrefix("fd00::/64")], 6))).toBe("fd00:0:0:1::/64");
    expect(formatPrefix(chooseSubnet(pools, [parsePrefix("fd00::/64")], 4))).toBe("10.0.0.0/25");
  });
});

describe("poolsOfSize()", () => {
  const pools = [
    { base: "10.0.0.0/16", size: 24 },
    { base: "10.1.0.0/24", size: 26 },
    { base: "fd00::/48", size: 64 },
  ];
  const sizes = (text: string) => poolsOfSize(pools, parsePrefix(text)).map(({ base, size }) => `${base},${size}`);
  test("cuts what is as large into networks of another size", () => {
    expect(sizes("0.0.0.0/20")).toEqual(["10.0.0.0/16,20"]);
    expect(sizes("0.0.0.0/28")).toEqual(["10.0.0.0/16,28", "10.1.0.0/24,28"]);
    expect(sizes("::/120")).toEqual(["fd00::/48,120"]);
  });
  test("leaves it as it is without a size, and says when nothing is large enough", () => {
    expect(sizes("0.0.0.0/0")).toHaveLength(3);
    expect(() => sizes("0.0.0.0/8")).toThrow("invalid address pool");
  });
});

describe("AddressPool", () => {
  const take = (pool: AddressPool, count: number): string[] => Array.from({ length: count }, () => formatIp(pool.take()));

  test("gives addresses in order and the released ones only after all others", () => {
    const pool = new AddressPool({ subnet: parsePrefix("10.0.0.0/29"), reserved: [parseIp("10.0.0.1")], remedy });
    expect(take(pool, 2)).toEqual(["10.0.0.2", "10.0.0.3"]);
    pool.free(parseIp("10.0.0.3"));
    expect(take(pool, 3)).toEqual(["10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    expect(take(pool, 1)).toEqual(["10.0.0.3"]);
    expect(() => pool.take()).toThrow(/10.0.0.0\/29 is used up; give it a larger subnet/);
  });

  test("keeps to the range, and gives what is asked for outside of it", () => {
    const pool = new AddressPool({ subnet: parsePrefix("10.0.0.0/16"), range: parsePrefix("10.0.5.0/30"), remedy });
    pool.takeThis(parseIp("10.0.9.9"));
    pool.takeThis(parseIp("10.0.5.1"));
    expect(take(pool, 3)).toEqual(["10.0.5.0", "10.0.5.2", "10.0.5.3"]);
    expect(() => pool.takeThis(parseIp("10.0.9.9"))).toThrow("Address already in use");
    expect(() => pool.takeThis(parseIp("10.1.0.1"))).toThrow("no configured subnet contains IP address 10.1.0.1");
  });

  test("counts through IPv6 networks and the smallest IPv4 ones", () => {
    expect(take(new AddressPool({ subnet: parsePrefix("fd00::/64"), remedy }), 2)).toEqual(["fd00::1", "fd00::2"]);
    expect(take(new AddressPool({ subnet: parsePrefix("10.0.0.0/31"), remedy }), 2)).toEqual(["10.0.0.0", "10.0.0.1"]);
  });

  test("keeps the addresses that are no host's, also from who asks for one", () => {
    for (const [subnet, ...edges] of [
      ["10.0.0.0/24", "10.0.0.0", "10.0.0.255"],
      ["fd00::/64", "fd00::"],
    ] as const) {
      const pool = new AddressPool({ subnet: parsePrefix(subnet), remedy });
      for (const edge of edges) expect(() => pool.takeThis(parseIp(edge))).toThrow("Address already in use");
    }
    new AddressPool({ subnet: parsePrefix("10.0.0.0/31"), remedy }).takeThis(parseIp("10.0.0.0"));
  });

  test("asks for what only waits to be freed before it gives up", () => {
    const pool: AddressPool = new AddressPool({
      subnet: parsePrefix("10.0.0.0/30"),
      remedy,
      reclaim: () => {
        pool.free(parseIp("10.0.0.2"));
        return true;
      },
    });
    expect(take(pool, 3)).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.2"]);
  });
});
