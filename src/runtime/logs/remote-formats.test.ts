import { expect, test } from "bun:test";
import { chunks, GelfEncoder } from "./gelf.ts";
import { JournalEncoder, journalName } from "./journald.ts";
import { SyslogFormatter } from "./syslog.ts";

const subject = {
  id: "0123456789abcdef",
  name: "web",
  imageId: "sha256:aabb",
  imageName: "nginx",
  command: ["nginx", "-g"],
  created: "2024-01-01T00:00:00Z",
  hostname: "box",
  labels: { a: "1" },
  env: ["LANG=C"],
};
const timeNs = BigInt(new Date(2024, 4, 3, 9, 8, 7).getTime()) * 1_000_000n + 123_456_789n;
const message = { stream: "stderr", line: Buffer.from("oops"), timeNs, partial: undefined, segment: 1, end: 5 } as const;

test("syslog's formats", () => {
  const format = (name: "" | "rfc3164" | "rfc5424" | "rfc5424micro", isFramed = false): string =>
    new SyslogFormatter({ format: name, facility: 3, tag: "t", hostname: "box", isFramed }).format(message).toString();
  expect(format("")).toBe(`<27>May  3 09:08:07 t[${process.pid}]: oops\n`);
  expect(format("rfc3164")).toBe(`<27>May  3 09:08:07 box t[${process.pid}]: oops\n`);
  expect(format("rfc5424")).toMatch(new RegExp(`^<27>1 2024-05-03T09:08:07(Z|[+-]..:..) box t ${process.pid} t - oops\n$`));
  expect(format("rfc5424micro")).toContain("T09:08:07.123456");
  const framed = format("rfc5424", true);
  expect(framed.split(" ")[0]).toBe(String(framed.length - framed.indexOf(" ") - 1));
});

test("gelf's fields are docker's", () => {
  const encoder = new GelfEncoder({ labels: "a", env: "LANG", tag: "{{.Name}}" }, subject);
  expect(JSON.parse(encoder.encode(message).toString())).toEqual({
    version: "1.1",
    host: "box",
    short_message: "oops",
    timestamp: Number(timeNs / 1_000_000n) / 1000,
    level: 3,
    _a: "1",
    _LANG: "C",
    _command: "nginx -g",
    _container_id: subject.id,
    _container_name: "web",
    _created: subject.created,
    _image_id: "sha256:aabb",
    _image_name: "nginx",
    _tag: "web",
  });
});

test("chunks() cuts what is too large for a datagram", () => {
  expect(chunks(Buffer.alloc(1420))).toHaveLength(1);
  const data = Buffer.from("x".repeat(3000));
  const parts = chunks(data);
  expect(parts.map((part) => [part.length, part[0], part[1], part[10], part[11]])).toEqual([
    [1420, 0x1e, 0x0f, 0, 3],
    [1420, 0x1e, 0x0f, 1, 3],
    [3000 - 2 * 1408 + 12, 0x1e, 0x0f, 2, 3],
  ]);
  expect(Buffer.concat(parts.map((part) => part.subarray(12)))).toEqual(data);
  expect(chunks(Buffer.alloc(129 * 1408))).toEqual([]);
});

test("the journal gets values with newlines by their length", () => {
  const encoder = new JournalEncoder({ CONTAINER_NAME: "web" });
  const partial = { id: "p", ordinal: 2, isLast: false };
  const text = encoder.encode({ ...message, line: Buffer.from("a\nb"), partial }).toString("latin1");
  expect(text).toStartWith("PRIORITY=3\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\nCONTAINER_NAME=web\nSYSLOG_TIMESTAMP=");
  expect(text).toEndWith(
    "CONTAINER_LOG_ORDINAL=1\nCONTAINER_PARTIAL_ID=p\nCONTAINER_PARTIAL_ORDINAL=2\nCONTAINER_PARTIAL_LAST=false\nCONTAINER_PARTIAL_MESSAGE=true\n",
  );
});

test.each([
  ["com.example.a-b", "COM_EXAMPLE_A_B"],
  ["__x", "X"],
  ["ünicode", "NICODE"],
])("journalName(%p)", (name, expected) => {
  expect(journalName(name)).toBe(expected);
});
