import { describe, expect, test } from "bun:test";
import { AddressPool, chooseSubnet, DEFAULT_POOLS } from "./ipam.ts";
import { formatCidr, formatIpv4, overlaps, parseCidr, parseMac, tryParseIpv4 } from "./ipv4.ts";

describe("ipv4", () => {
  test("parses strictly and tells overlaps", () => {
    expect(tryParseIpv4("255.255.255.255")).toBe(0xffffffff);
    for (const bad of ["1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4.5", "a.b.c.d", ""]) expect(tryParseIpv4(bad)).toBeUndefined();
    expect(overlaps(parseCidr("10.0.0.0/8"), parseCidr("10.1.0.0/16"))).toBe(true);
    expect(overlaps(parseCidr("10.0.0.0/16"), parseCidr("10.1.0.0/16"))).toBe(false);
    expect(() => parseCidr("10.0.0.0/33")).toThrow("invalid CIDR address: 10.0.0.0/33");
    expect(() => parseMac("02:42")).toThrow(/invalid MAC address/);
  });
});

describe("chooseSubnet()", () => {
  test("takes the first network that no route overlaps and names the setting when there is none", () => {
    expect(formatCidr(chooseSubnet(DEFAULT_POOLS, []))).toBe("172.17.0.0/16");
    expect(formatCidr(chooseSubnet(DEFAULT_POOLS, [parseCidr("172.16.0.0/14")]))).toBe("172.20.0.0/16");
    expect(formatCidr(chooseSubnet(DEFAULT_POOLS, [parseCidr("172.16.0.0/12"), parseCidr("192.168.1.0/24")]))).toBe("192.168.16.0/20");
    expect(() => chooseSubnet([{ base: "10.0.0.0/16", size: 24 }], [parseCidr("10.0.0.0/8")])).toThrow(/default-address-pools/);
  });
});

describe("AddressPool", () => {
  test("gives addresses in order and the released ones only after all others", () => {
    const net = parseCidr("10.0.0.0/29");
    const pool = new AddressPool(net, net, [net.network + 1]);
    expect(formatIpv4(pool.take())).toBe("10.0.0.2");
    const second = pool.take();
    pool.free(second);
    expect([pool.take(), pool.take(), pool.take()].map(formatIpv4)).toEqual(["10.0.0.4", "10.0.0.5", "10.0.0.6"]);
    expect(formatIpv4(pool.take())).toBe("10.0.0.3");
    expect(() => pool.take()).toThrow(/used up/);
  });

  test("keeps to the fixed range", () => {
    const pool = new AddressPool(parseCidr("10.0.0.0/16"), parseCidr("10.0.5.0/30"), [0x0a000001]);
    expect([pool.take(), pool.take(), pool.take(), pool.take()].map(formatIpv4)).toEqual(["10.0.5.0", "10.0.5.1", "10.0.5.2", "10.0.5.3"]);
  });
});
