import { describe, expect, test } from "bun:test";
import { decodeAttributes, decodeError, decodeMessages, MessageWriter, readText, readU32 } from "./message.ts";
import { encodeBatch } from "./nftables.ts";
import { addVeth, decodeLink, formatMac, setLink } from "./rtnetlink.ts";

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

describe("MessageWriter", () => {
  test("writes header, attributes, nesting and padding as the kernel reads them", () => {
    const w = new MessageWriter(1);
    w.message(16, 5, 7, (m) =>
      m
        .u32be(0x01020304)
        .attrText(3, "eth0")
        .nest(18, () => m.attrU8(1, 9)),
    );
    expect(hex(w.bytes)).toBe(
      [
        "2c000000",
        "1000",
        "0500",
        "07000000",
        "00000000",
        "01020304",
        "0900",
        "0300",
        "6574683000",
        "000000",
        "0c00",
        "1280",
        "0500",
        "0100",
        "09",
        "000000",
      ].join(""),
    );
    const [message] = decodeMessages(w.bytes);
    const attributes = decodeAttributes(message?.body ?? new Uint8Array(), 4);
    expect(readText(attributes.get(3))).toBe("eth0");
    expect(decodeAttributes(attributes.get(18) ?? new Uint8Array()).get(1)?.[0]).toBe(9);
  });

  test("what is cut short is refused", () => {
    const w = new MessageWriter().message(16, 0, 1, (m) => m.u32(0));
    expect(() => decodeMessages(w.bytes.subarray(0, 18))).toThrow(/decode netlink message: length 20 with 18 bytes left/);
    expect(() => decodeAttributes(Uint8Array.of(9, 0, 1, 0, 5))).toThrow(/decode netlink attribute/);
  });
});

describe("decodeError()", () => {
  // captured: RTM_NEWLINK refused with EEXIST, with NETLINK_CAP_ACK and NETLINK_EXT_ACK
  test("reads errno and the kernel's words", () => {
    const words = Buffer.from("File exists\0");
    const w = new MessageWriter();
    w.message(2, 0x300, 3, (m) =>
      m
        .u32(-17 >>> 0)
        .raw(new Uint8Array(16))
        .attr(1, words),
    );
    const [message] = decodeMessages(w.bytes);
    expect(message && decodeError(message)).toEqual({ errno: 17, text: "File exists" });
  });
});

describe("requests", () => {
  test("set link by name", () => {
    const request = setLink(0, { name: "v0", up: true, master: 5 });
    const w = new MessageWriter().message(request.type, 5, 1, request.body);
    expect(hex(w.bytes)).toBe(
      "30000000100005000100000000000000" + "00000000000000000100000001000000" + "0700030076300000" + "08000a0005000000",
    );
  });

  test("a veth pair carries the peer's header and attributes inside", () => {
    const request = addVeth({ name: "a" }, { name: "b", index: 2, netnsFd: 9 });
    const w = new MessageWriter().message(request.type, 5, 1, request.body);
    expect(hex(w.bytes)).toContain("76657468"); // "veth"
    expect(hex(w.bytes)).toContain("0000000002000000000000000000000006000300620000000800" + "1c0009000000");
  });

  test("a transaction is framed by begin and end and numbers its messages", () => {
    let n = 0;
    const { bytes, calls } = encodeBatch(
      [
        {
          table: { family: 2, name: "t" },
          changes: [{ verb: "add", set: "s", elements: [{ key: Uint8Array.of(6, 0, 0, 0), data: Uint8Array.of(1, 2, 3, 4) }] }],
        },
      ],
      () => ++n,
    );
    const messages = decodeMessages(bytes);
    expect(messages.map((m) => m.type)).toEqual([0x10, 0xa0c, 0x11]);
    expect(messages.map((m) => m.flags)).toEqual([1, 0x605, 1]);
    expect(hex(messages[0]?.body ?? new Uint8Array())).toBe("0000000a");
    expect([...calls.values()]).toEqual(["begin transaction", "add element s", "commit"]);
    const list = decodeAttributes(messages[1]?.body ?? new Uint8Array(), 4);
    expect(readText(list.get(1))).toBe("t");
    const element = decodeAttributes(decodeAttributes(list.get(3) ?? new Uint8Array()).get(1) ?? new Uint8Array());
    expect(hex(decodeAttributes(element.get(1) ?? new Uint8Array()).get(1) ?? new Uint8Array())).toBe("06000000");
  });
});

describe("decodeLink()", () => {
  test("reads index, name, state and address of a captured loopback", () => {
    const w = new MessageWriter();
    w.message(16, 2, 1, (m) => {
      m.u8(0).u8(0).u16(772).u32(1).u32(0x10049).u32(0);
      m.attrText(3, "lo").attrU32(4, 65536).attr(1, new Uint8Array(6));
    });
    const [message] = decodeMessages(w.bytes);
    expect(message && decodeLink(message)).toEqual({
      index: 1,
      name: "lo",
      isUp: true,
      mtu: 65536,
      mac: "00:00:00:00:00:00",
      master: 0,
      kind: "",
      stats: undefined,
    });
    expect(formatMac(Uint8Array.of(2, 0x42, 255))).toBe("02:42:ff");
    expect(readU32(Uint8Array.of(1, 0, 0))).toBeUndefined();
  });
});
