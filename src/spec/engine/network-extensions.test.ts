import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { isKind } from "../../lib/mod.ts";
import { isNetworkExtension, parseNetworkExtensions, portAllowLabel } from "./network-extensions.ts";

describe("parseNetworkExtensions()", () => {
  test("finds nothing where nothing is asked for", () => {
    for (const labels of [undefined, null, {}, { "dhow.ttl": "1m", "dhow.network": "x", "dhow.egressive": "x", app: "dhow.net.rate" }])
      expect(parseNetworkExtensions(labels)).toEqual({ portAllows: [] });
  });

  test("reads all of it", () => {
    expect(
      parseNetworkExtensions({
        "dhow.net.rate": "10mbit",
        "dhow.net.delay": "80ms",
        "dhow.net.jitter": "1.5ms",
        "dhow.net.loss": "0.5%",
        "dhow.egress": "learn",
        "dhow.egress.allow": "Example.org., *.bücher.example,10.0.0.0/8,192.0.2.1,FD00::/8,2001:db8::1,localhost",
        [portAllowLabel("5432/tcp")]: "10.0.0.0/8",
        "dhow.port.53-54/udp.allow": "::1,127.0.0.1",
        "dhow.port.80.allow": "10.1.2.3/8",
      }),
    ).toEqual({
      conditions: { rateBitsPerSecond: 10_000_000, delayMs: 80, jitterMs: 1.5, lossPercent: 0.5 },
      egress: {
        mode: "learn",
        domains: ["example.org", "*.xn--bcher-kva.example", "localhost"],
        networks: ["10.0.0.0/8", "192.0.2.1/32", "fd00::/8", "2001:db8::1/128"],
      },
      portAllows: [
        { port: "5432/tcp", sources: ["10.0.0.0/8"] },
        { port: "53/udp", sources: ["::1/128", "127.0.0.1/32"] },
        { port: "54/udp", sources: ["::1/128", "127.0.0.1/32"] },
        { port: "80/tcp", sources: ["10.1.2.3/8"] },
      ],
    });
  });

  test("enforces a policy that says nothing else, and an empty list allows nothing", () => {
    const nothing = { domains: [], networks: [] };
    expect(parseNetworkExtensions({ "dhow.egress": "enforce" }).egress).toEqual({ mode: "enforce", ...nothing });
    expect(parseNetworkExtensions({ "dhow.egress.allow": "" }).egress).toEqual({ mode: "enforce", ...nothing });
    expect(parseNetworkExtensions({ "dhow.egress.allow": "a.example" }).egress?.mode).toBe("enforce");
  });

  test.each([
    ["1bit", 1],
    ["9600bit", 9600],
    ["1.5gbit", 1_500_000_000],
    ["1Kbit", 1000],
    ["1kibit", 1024],
    ["2mibit", 2_097_152],
    ["1tbit", 1e12],
  ])("takes the rate %s", (text, rate) => {
    expect(parseNetworkExtensions({ "dhow.net.rate": text }).conditions).toEqual({ rateBitsPerSecond: rate });
  });

  test.each([
    ["dhow.net.rate", "10", 'invalid label dhow.net.rate: invalid rate "10": must be bits per second above zero, such as 10mbit'],
    ["dhow.net.rate", "0bit", 'invalid rate "0bit"'],
    ["dhow.net.rate", "1mbps", 'invalid rate "1mbps"'],
    ["dhow.net.rate", "1ibit", 'invalid rate "1ibit"'],
    ["dhow.net.rate", "-1mbit", 'invalid rate "-1mbit"'],
    ["dhow.net.rate", "9999999tbit", 'invalid rate "9999999tbit"'],
    ["dhow.net.delay", "80", 'invalid label dhow.net.delay: invalid delay "80": must be a duration of at most 1m, such as 80ms'],
    ["dhow.net.delay", "-1ms", 'invalid delay "-1ms"'],
    ["dhow.net.delay", "2m", 'invalid delay "2m"'],
    ["dhow.net.jitter", "1ms", "label dhow.net.jitter needs dhow.net.delay"],
    ["dhow.net.loss", "1", 'invalid label dhow.net.loss: invalid loss "1": must be a percentage, such as 1%'],
    ["dhow.net.loss", "101%", 'invalid loss "101%"'],
    ["dhow.net.los", "1%", "unknown label dhow.net.los"],
    ["dhow.egress", "audit", 'invalid label dhow.egress: invalid mode "audit": must be enforce or learn'],
    ["dhow.egress", "", 'invalid mode ""'],
    ["dhow.egress.deny", "a", "unknown label dhow.egress.deny"],
    ["dhow.egress.allow", "a,,b", 'invalid label dhow.egress.allow: empty item in "a,,b"'],
    ["dhow.egress.allow", "*", 'invalid destination "*": must be a domain, *.domain, an address or a network in CIDR form'],
    ["dhow.egress.allow", "a.*.example", 'invalid destination "a.*.example"'],
    ["dhow.egress.allow", "-a.example", 'invalid destination "-a.example"'],
    ["dhow.egress.allow", "https://a.example", 'invalid address "https://a.example"'],
    ["dhow.egress.allow", "10.0.0.256", 'invalid address "10.0.0.256"'],
    ["dhow.egress.allow", "10.0.0.0/33", 'invalid address "10.0.0.0/33"'],
    ["dhow.egress.allow", "10.0.0.0/08", 'invalid address "10.0.0.0/08"'],
    ["dhow.egress.allow", "fe80::1%eth0", 'invalid address "fe80::1%eth0"'],
    ["dhow.port.80/tcp.allow", "", "invalid label dhow.port.80/tcp.allow: no address or network is given"],
    ["dhow.port.80/tcp.allow", "example.org", 'invalid address "example.org": must be an address or a network in CIDR form'],
    ["dhow.port.0.allow", "::", 'invalid port "0": must be PORT[-PORT][/PROTOCOL], such as 5432/tcp'],
    ["dhow.port.70000.allow", "::", 'invalid port "70000"'],
    ["dhow.port.9-8.allow", "::", 'invalid port "9-8"'],
    ["dhow.port.80/icmp.allow", "::", 'invalid port "80/icmp"'],
    ["dhow.port.80/tcp", "::", "unknown label dhow.port.80/tcp"],
    ["dhow.port..allow", "::", 'invalid port ""'],
  ])("refuses %s=%s", (key, value, message) => {
    expect(() => parseNetworkExtensions({ [key]: value })).toThrow(message);
  });

  test("refuses two lists for one port", () => {
    const labels = { "dhow.port.80-90.allow": "::1", "dhow.port.85/tcp.allow": "::2" };
    expect(() => parseNetworkExtensions(labels)).toThrow("label dhow.port.85/tcp.allow: the port 85/tcp has another such label");
  });

  test("answers whatever is written, or refuses it as invalid", () => {
    const key = fc.constantFrom("dhow.net.rate", "dhow.net.delay", "dhow.net.loss", "dhow.egress.allow", "dhow.port.1.allow");
    fc.assert(
      fc.property(key, fc.oneof(fc.string(), fc.stringMatching(/^[\d.:/*a-z%,-]+$/)), (label, text) => {
        try {
          const { conditions, egress, portAllows } = parseNetworkExtensions({ [label]: text });
          for (const value of Object.values(conditions ?? {})) expect(value).toBeGreaterThanOrEqual(0);
          for (const network of [...(egress?.networks ?? []), ...portAllows.flatMap(({ sources }) => sources)])
            expect(network).toMatch(/^[\d.a-f:]+\/\d+$/);
        } catch (error) {
          if (!isKind(error, "invalid")) throw error;
        }
      }),
    );
  });
});

test("isNetworkExtension() tells labels of this kind", () => {
  for (const label of ["dhow.net.rate", "dhow.net.x", "dhow.egress", "dhow.egress.allow", "dhow.port.1.allow"])
    expect(isNetworkExtension(label)).toBe(true);
  for (const label of ["dhow.ttl", "dhow.network", "dhow.egressive", "com.example.dhow.net.rate"])
    expect(isNetworkExtension(label)).toBe(false);
});
