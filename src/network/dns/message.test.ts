import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { encodeName, isAnswerTo, type Query, readAddresses, readQuery, TYPE, udpLimitOf, writeAnswer } from "./message.ts";
import { reverseAddress } from "./own-names.ts";

const HEADER = "1234 0100 0001 0000 0000 0000";
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ""), "hex");

/** A question for `name` of type A, written as it stands. */
function question(name: string, header = HEADER, tail = "0001 0001"): Buffer {
  const labels = name.split(".").filter(Boolean);
  return Buffer.concat([hex(header), ...labels.flatMap((l) => [Uint8Array.of(l.length), Buffer.from(l, "latin1")]), hex(`00 ${tail}`)]);
}

function queryOf(message: Buffer): Query {
  const received = readQuery(message);
  if (received === undefined || "refusal" in received) throw new Error("no query");
  return received.query;
}

describe("readQuery()", () => {
  test("reads name, type and class, in lower case", () => {
    expect(queryOf(question("WeB.MyNet"))).toEqual({
      id: 0x1234,
      name: "web.mynet",
      type: TYPE.A,
      isInternet: true,
      questionEnd: 12 + 11 + 4,
      edns: undefined,
    });
    expect(queryOf(question("", HEADER, "0002 0003"))).toMatchObject({ name: "", type: 2, isInternet: false });
  });

  test("a dot or another byte inside a label doesn't make a name of ours", () => {
    const message = Buffer.concat([hex(HEADER), Uint8Array.of(9), Buffer.from("web.MYnet"), hex("00 0001 0001")]);
    expect(queryOf(message).name).toBe("web\\046mynet");
    expect(queryOf(question("a\\b.\u00e9")).name).toBe("a\\092b.\\233");
  });

  test("reads what EDNS says of size and DNSSEC", () => {
    const opt = hex("00 0029 1000 00008000 0000");
    const message = Buffer.concat([question("web", "0001 0120 0001 0000 0000 0001"), opt]);
    expect(queryOf(message).edns).toEqual({ udpBytes: 4096, isDnssecOk: true });
    expect(udpLimitOf(queryOf(message))).toBe(4096);
    const small = Buffer.concat([question("web", "0001 0120 0001 0000 0000 0001"), hex("00 0029 0010 00000000 0000")]);
    expect(udpLimitOf(queryOf(small))).toBe(512);
    expect(queryOf(Buffer.concat([question("web", "0001 0120 0001 0000 0000 ffff"), hex("00 00")])).edns).toBeUndefined();
  });

  test("answers and what is too short get no answer; what is malformed gets an error", () => {
    expect(readQuery(hex("1234 0100 0001"))).toBeUndefined();
    expect(readQuery(question("web", "1234 8180 0001 0000 0000 0000"))).toBeUndefined();
    const refusals: [string, Buffer][] = [
      ["two questions", question("web", "1234 0100 0002 0000 0000 0000")],
      ["no question", hex("1234 0100 0000 0000 0000 0000")],
      ["a name that points to itself", hex(`${HEADER} c00c 0001 0001`)],
      ["a name that is cut off", hex(`${HEADER} 03 7765`)],
      ["a type that is cut off", hex(`${HEADER} 03 776562 00 0001 00`)],
      ["a label of more than 63 bytes", Buffer.concat([hex(HEADER), Uint8Array.of(64), Buffer.alloc(64, "a"), hex("00 0001 0001")])],
      ["a name of more than 255 bytes", question(Array.from({ length: 5 }, () => "a".repeat(60)).join("."))],
    ];
    for (const [name, message] of refusals) {
      expect([name, readQuery(message)]).toEqual([name, { refusal: hex("1234 8101 0000 0000 0000 0000") }]);
    }
    expect(readQuery(question("web", "1234 2900 0001 0000 0000 0000"))).toEqual({ refusal: hex("1234 a904 0000 0000 0000 0000") });
  });

  test("nothing that anybody sends makes it throw, or read outside of the message", () => {
    const bytes = fc.uint8Array({ maxLength: 80 });
    const counts = fc.constantFrom("0000", "0001", "ffff");
    const message = fc.oneof(
      bytes.map((b) => Buffer.from(b)),
      fc.tuple(counts, counts, counts, bytes).map(([a, b, c, tail]) => Buffer.concat([hex(`0001 0000 0001 ${a} ${b} ${c}`), tail])),
    );
    fc.assert(
      fc.property(message, (m) => {
        const received = readQuery(m);
        if (received === undefined || "refusal" in received) return;
        const { query } = received;
        expect(query.questionEnd).toBeLessThanOrEqual(m.length);
        expect(query.name.length).toBeLessThanOrEqual(255 * 4);
        const answer = writeAnswer(m, query, { limitBytes: 512 });
        expect(isAnswerTo(answer, m, query)).toBe(true);
        readAddresses(m, query);
      }),
      { numRuns: 3000 },
    );
  });
});

describe("writeAnswer()", () => {
  const message = question("WeB");
  const query = queryOf(message);
  const records = Array.from({ length: 40 }, (_, i) => ({ type: TYPE.A, ttl: 600, data: Uint8Array.of(10, 0, 0, i) }));

  test("repeats the question as it was written and points to it", () => {
    expect(writeAnswer(message, query, { records: records.slice(0, 1), limitBytes: 512 }).toString("hex")).toBe(
      hex("1234 8180 0001 0001 0000 0000 03 576542 00 0001 0001 c00c 0001 0001 00000258 0004 0a000000").toString("hex"),
    );
  });

  test("leaves out what doesn't fit and says so", () => {
    const answer = writeAnswer(message, query, { records, limitBytes: 512 });
    expect(answer.length).toBeLessThanOrEqual(512);
    expect(answer.readUInt16BE(2)).toBe(0x8380);
    expect(answer.readUInt16BE(6)).toBe(Math.floor((512 - query.questionEnd) / 16));
    expect(writeAnswer(message, query, { records, limitBytes: 0xffff }).readUInt16BE(2)).toBe(0x8180);
  });

  test("what it writes can be read", () => {
    const data = [Uint8Array.of(10, 0, 0, 1), new Uint8Array(16).fill(7)];
    const answer = writeAnswer(message, query, {
      records: data.map((d, i) => ({ type: d.length === 4 ? TYPE.A : TYPE.AAAA, ttl: 30 + i, data: d })),
      limitBytes: 512,
    });
    expect(readAddresses(answer, query)).toEqual({ addresses: data, ttlSeconds: 30 });
    expect(readAddresses(answer.subarray(0, -1), query)).toBeUndefined();
  });
});

describe("readAddresses()", () => {
  test("reads addresses behind aliases, with compressed names", () => {
    // captured: www.example → CNAME web.example → A 192.0.2.7
    const message = question("www.example");
    const tail = "c00c 0005 0001 00000e10 0006 03 776562 c010  c029 0001 0001 0000003c 0004 c0000207";
    const answer = Buffer.concat([question("www.example", "1234 8180 0001 0002 0000 0000"), hex(tail)]);
    expect(readAddresses(answer, queryOf(message))).toEqual({ addresses: [Uint8Array.of(192, 0, 2, 7)], ttlSeconds: 60 });
  });
});

describe("isAnswerTo()", () => {
  const message = question("web.example");
  const query = queryOf(message);
  const header = "9999 8180 0001 0000 0000 0000";

  test("is an answer to the same question, in whatever case", () => {
    expect(isAnswerTo(question("WEB.example", header), message, query)).toBe(true);
    expect(isAnswerTo(question("wex.example", header), message, query)).toBe(false);
    expect(isAnswerTo(question("web.example", header, "001c 0001"), message, query)).toBe(false);
    expect(isAnswerTo(message, message, query)).toBe(false);
    expect(isAnswerTo(hex("9999 8182 0000 0000 0000 0000"), message, query)).toBe(true);
    expect(isAnswerTo(hex("9999 8180 0000 0000 0000 0000"), message, query)).toBe(false);
    expect(isAnswerTo(hex("9999"), message, query)).toBe(false);
  });
});

test("encodeName() writes labels, and no name that can't be written", () => {
  expect(Buffer.from(encodeName("web.net") ?? []).toString("latin1")).toBe("\x03web\x03net\0");
  for (const name of ["a..b", "", "x".repeat(64), Array.from({ length: 5 }, () => "x".repeat(60)).join(".")]) {
    expect(encodeName(name)).toBeUndefined();
  }
});

test("reverseAddress() reads both forms, and nothing else", () => {
  expect(reverseAddress("4.3.2.1.in-addr.arpa")).toEqual(Uint8Array.of(1, 2, 3, 4));
  // the example of RFC 3596 section 2.5
  const nibbles = "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.0.0.0.0.1.2.3.4.ip6.arpa";
  expect(Buffer.from(reverseAddress(nibbles) ?? []).toString("hex")).toBe("432100000001000200030004056789ab");
  for (const name of [
    "3.2.1.in-addr.arpa",
    "256.3.2.1.in-addr.arpa",
    "x.3.2.1.in-addr.arpa",
    "a.ip6.arpa",
    "in-addr.arpa",
    "4.3.2.1.ip6.arpa",
  ]) {
    expect(reverseAddress(name)).toBeUndefined();
  }
});
