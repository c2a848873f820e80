import { expect, test } from "bun:test";
import { parseIp } from "../ip.ts";
import { canBeNamed, openedChanges, readOpened } from "./opened.ts";

test("no name stands for the host's loopback, the wire, or a cloud's metadata", () => {
  const never = ["127.0.0.1", "0.0.0.0", "169.254.169.254", "169.254.1.1", "224.0.0.1", "255.255.255.255", "100.100.100.200"];
  const never6 = ["::1", "::", "fe80::1", "ff02::1", "::ffff:10.0.0.1", "fd00:ec2::254"];
  for (const address of [...never, ...never6]) expect([address, canBeNamed(parseIp(address))]).toEqual([address, false]);
  for (const address of ["203.0.113.1", "10.0.0.1", "2001:db8::1", "fd00::1"]) expect(canBeNamed(parseIp(address))).toBe(true);
});

test("what is open has an element for each address of its family, with its last names", () => {
  const names = new Set([..."abcdefghij"].map((letter) => `${letter}.${"x".repeat(40)}.test`));
  const opened = { set: "names", address: "203.0.113.9", names, until: Date.now() + 60_000 } as const;
  const changes = openedChanges([opened], ["10.0.0.2", "10.1.0.2", "fd00::2"], true);
  expect(changes.map(({ verb, set, elements }) => [verb, set, elements.length])).toEqual([
    ["put", "names4", 2],
    ["delete", "names4", 2],
    ["put", "names4", 2],
  ]);
  const [element] = changes[0]?.elements ?? [];
  expect(Buffer.byteLength(element?.comment ?? "")).toBeLessThanOrEqual(250);
  expect(element?.comment).toStartWith("c.");
  const listed = { key: element?.key ?? new Uint8Array(8), keyEnd: undefined, expiresMs: 5000, comment: "a.test b.test", packets: 0 };
  expect(readOpened("names", listed, new Set(["10.0.0.2"]))).toMatchObject({
    address: "203.0.113.9",
    names: new Set(["a.test", "b.test"]),
  });
  expect(readOpened("names", listed, new Set(["10.1.0.2"]))).toBeUndefined();
  expect(openedChanges([opened], ["fd00::2"], true)).toEqual([]);
});
