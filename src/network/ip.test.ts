import { describe, expect, test } from "bun:test";
import { DhowError } from "../lib/mod.ts";
import { doOverlap, formatIp, formatPrefix, hasIp, ipBytes, lastOf, parseIp, parsePrefix, tryParseIp } from "./ip.ts";

describe("ip", () => {
  test.each([
    ["10.1.2.3", "10.1.2.3"],
    ["::", "::"],
    ["::1", "::1"],
    ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["fe80::1%eth0", "fe80::1"],
    ["::ffff:1.2.3.4", "::ffff:102:304"],
    ["1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7"],
  ])("parseIp(%s) is written %s", (text, written) => {
    const ip = parseIp(text);
    expect(formatIp(ip)).toBe(written);
    expect(tryParseIp(formatIp(ip))).toEqual(ip);
    expect(ipBytes(ip).length).toBe(ip.family === 4 ? 4 : 16);
  });

  test.each(["", "1.2.3", "1.2.3.256", "x", "1::2::3", "010.0.0.1"])("parseIp(%j) is refused", (text) => {
    expect(() => parseIp(text)).toThrow(DhowError);
  });

  test("parsePrefix() keeps the written address and finds the network's edges", () => {
    const prefix = parsePrefix("10.1.2.3/22");
    expect(formatPrefix(prefix)).toBe("10.1.0.0/22");
    expect(formatIp({ family: 4, value: prefix.address })).toBe("10.1.2.3");
    expect(formatIp({ family: 4, value: lastOf(prefix) })).toBe("10.1.3.255");
    expect(formatPrefix(parsePrefix("fd00:1::5/64"))).toBe("fd00:1::/64");
  });

  test.each(["10.0.0.0", "10.0.0.0/33", "fd00::/129", "10.0.0.0/8/8", "fe80::1%eth0/64", "/8"])("parsePrefix(%j) is refused", (text) => {
    expect(() => parsePrefix(text)).toThrow(`invalid CIDR address: ${text}`);
  });

  test("hasIp() and doOverlap() keep the families apart", () => {
    const a = parsePrefix("10.0.0.0/8");
    expect(hasIp(a, parseIp("10.255.255.255"))).toBe(true);
    expect(hasIp(a, parseIp("11.0.0.0"))).toBe(false);
    expect(hasIp(parsePrefix("::/0"), parseIp("10.0.0.1"))).toBe(false);
    expect(doOverlap(a, parsePrefix("10.3.0.0/16"))).toBe(true);
    expect(doOverlap(parsePrefix("10.3.0.0/16"), a)).toBe(true);
    expect(doOverlap(a, parsePrefix("::/0"))).toBe(false);
  });
});
