import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DhowError } from "../lib/mod.ts";
import { parsePortSpecs } from "./port-specs.ts";

const parse = (exposed: string[], bindings: Record<string, { HostIp?: string; HostPort?: string }[] | null>, publishAll = false) =>
  parsePortSpecs({ exposedPorts: Object.fromEntries(exposed.map((key) => [key, {}])), portBindings: bindings, publishAll });

describe("parsePortSpecs()", () => {
  test("reads bindings, ranges of the host, addresses, and what is exposed only", () => {
    const specs = parse(["90/tcp", "80/tcp"], {
      "80/tcp": [{ HostPort: "8080" }, { HostIp: "127.0.0.1", HostPort: "9000-9010" }],
      "53/udp": [{}],
    });
    expect(specs.requests).toEqual([
      { containerPort: 80, protocol: "tcp", hostIp: "", hostPort: 8080, hostPortEnd: 8080 },
      { containerPort: 80, protocol: "tcp", hostIp: "127.0.0.1", hostPort: 9000, hostPortEnd: 9010 },
      { containerPort: 53, protocol: "udp", hostIp: "", hostPort: 0, hostPortEnd: 0 },
    ]);
    expect(specs.exposed).toEqual(["53/udp", "80/tcp", "90/tcp"]);
  });

  test("publishes all that is exposed, ranges too, with -P", () => {
    expect(parse(["7000-7002", "80/tcp"], {}, true).requests.map((r) => r.containerPort)).toEqual([80, 7000, 7001, 7002]);
    expect(parse(["80/tcp"], {}).requests).toEqual([]);
  });

  test.each([
    [[], { "x/tcp": [{}] }, 'invalid port specification: "x"'],
    [[], { "80/tcp": [{ HostPort: "70000" }] }, 'invalid port specification: "70000"'],
    [[], { "80/tcp": [{ HostPort: "90-80" }] }, 'invalid port specification: "90-80"'],
    [[], { "80/icmp": [{}] }, "invalid proto: icmp"],
    [[], { "80/tcp": [{ HostIp: "1.2.3" }] }, "invalid IP address: 1.2.3"],
    [["9-a/tcp"], {}, 'Invalid range format for --expose: 9-a/tcp, error: invalid start port "9-a"'],
  ])("refuses %p %p", (exposed, bindings, message) => {
    expect(() => parse(exposed, bindings)).toThrow(message);
  });
});

test("parsePortSpecs() takes any text, or says in its own words what is wrong", () => {
  const part = fc.constantFrom("80", "-", "/", "tcp", "udp", ":", "0", "65536", "x", " ", "127.0.0.1", "[::1]", "99999999999999999999");
  const text = fc.oneof(
    fc.array(part, { maxLength: 5 }).map((parts) => parts.join("")),
    fc.string(),
  );
  fc.assert(
    fc.property(text, text, text, fc.boolean(), (key, port, address, publishAll) => {
      try {
        const { requests } = parse([key], { [port]: [{ HostIp: address, HostPort: key }] }, publishAll);
        for (const { containerPort, hostPort, hostPortEnd } of requests) {
          expect(containerPort).toBeGreaterThanOrEqual(0);
          expect(Math.max(containerPort, hostPort, hostPortEnd)).toBeLessThanOrEqual(65_535);
          expect(hostPort).toBeLessThanOrEqual(hostPortEnd);
        }
      } catch (error) {
        expect(error).toBeInstanceOf(DhowError);
      }
    }),
    { interruptAfterTimeLimit: 1_000, numRuns: 3_000 },
  );
});
