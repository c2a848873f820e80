import { expect, test } from "bun:test";
import { parseUnpublish } from "./ports.ts";

test("parseUnpublish() takes every form of -p, and ports of the host alone", () => {
  const shown = (text: string) =>
    parseUnpublish(text).map(
      ({ HostIp = "", HostPort = "", ContainerPort = 0, Protocol = "" }) => `${HostIp}|${HostPort}|${ContainerPort}|${Protocol}`,
    );
  for (const [text, ...removals] of [
    ["8080", "|8080|0|tcp"],
    ["7101-7103/udp", "|7101-7103|0|udp"],
    ["127.0.0.1:8080", "127.0.0.1|8080|0|tcp"],
    ["[::1]:8080/TCP", "::1|8080|0|tcp"],
    [":80", "||80|tcp"],
    [":80-81/sctp", "||80|sctp", "||81|sctp"],
    ["8080:80", "|8080|80|tcp"],
    ["0:80", "||80|tcp"],
    ["127.0.0.1::80/udp", "127.0.0.1||80|udp"],
    ["7101-7103:7000-7002", "|7101|7000|tcp", "|7102|7001|tcp", "|7103|7002|tcp"],
    ["127.0.0.1:7101-7102:7000-7001/udp", "127.0.0.1|7101|7000|udp", "127.0.0.1|7102|7001|udp"],
    ["[::1]:80:80", "::1|80|80|tcp"],
    ["::1:80:80", "::1|80|80|tcp"],
    ["7101-7103:80", "|7101-7103|80|tcp"],
    ["published=8080,target=80,protocol=udp", "|8080|80|udp"],
    ["target=80", "||80|tcp"],
    ["8080:80,allow=10.0.0.0/8", "|8080|80|tcp"],
  ] as const) {
    expect([text, ...shown(text)]).toEqual([text, ...removals]);
  }
});

test.each([
  ["", "no port specified: <empty>"],
  ["x", "invalid containerPort: x"],
  ["8080:", "no port specified: 8080:<empty>"],
  ["65536", "invalid hostPort: 65536"],
  ["9-8", "invalid hostPort: 9-8"],
  ["8080/icmp", "invalid proto: icmp"],
  ["300.0.0.1:80", "invalid IP address: 300.0.0.1"],
  ["[x]:80", "invalid IP address: [x]"],
  ["here:80:80", "invalid IP address: here"],
  ["7101-7103:7000-7001", "invalid ranges specified for container and host Ports: 7000-7001 and 7101-7103"],
])("parseUnpublish() refuses %p", (text, message) => {
  expect(() => parseUnpublish(text)).toThrow(message);
});
