import { expect, test } from "bun:test";
import fc from "fast-check";
import { DhowError } from "../lib/mod.ts";
import { FrameReader } from "./web-socket.ts";

interface Frame {
  readonly opcode: number;
  readonly payload: string;
  readonly fin?: boolean;
  readonly masked?: boolean;
  readonly reserved?: number;
}

/** A client's frame. */
function encode({ opcode, payload, fin = true, masked = true, reserved = 0 }: Frame): Buffer {
  const data = Buffer.from(payload);
  const mask = Buffer.from([1, 2, 3, 250]);
  const length = data.length < 126 ? [data.length] : data.length < 0x10000 ? [126, data.length >> 8, data.length & 255] : undefined;
  const long = Buffer.alloc(9);
  long[0] = 127;
  long.writeBigUInt64BE(BigInt(data.length), 1);
  const size = Buffer.from(length ?? long);
  size[0] = (size[0] ?? 0) | (masked ? 0x80 : 0);
  if (!masked) return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | reserved | opcode]), size, data]);
  const hidden = data.map((byte, i) => byte ^ (mask[i & 3] ?? 0));
  return Buffer.concat([Buffer.from([(fin ? 0x80 : 0) | reserved | opcode]), size, mask, hidden]);
}

function read(pieces: readonly Uint8Array[]): { readonly data: string; readonly controls: readonly string[] } {
  let data = "";
  const controls: string[] = [];
  const reader = new FrameReader({
    data: (payload) => {
      data += Buffer.from(payload).toString("latin1");
    },
    control: (opcode, payload) => void controls.push(`${opcode} ${Buffer.from(payload).toString()}`),
  });
  for (const piece of pieces) reader.read(piece);
  return { data, controls };
}

const LONG = "0123456789".repeat(7000);
const message = Buffer.concat([
  encode({ opcode: 2, payload: "one", fin: false }),
  encode({ opcode: 9, payload: "are you there" }),
  encode({ opcode: 0, payload: "-two" }),
  encode({ opcode: 1, payload: "x".repeat(300) }),
  encode({ opcode: 2, payload: "" }),
  encode({ opcode: 2, payload: LONG }),
  encode({ opcode: 8, payload: "\x03\xe8" }),
]);

for (const size of [1, 2, 7, 4096, message.length]) {
  test(`FrameReader puts messages together from pieces of ${size}`, () => {
    const pieces = Array.from({ length: Math.ceil(message.length / size) }, (_, i) => message.subarray(i * size, (i + 1) * size));
    const { data, controls } = read(pieces.map((piece) => Buffer.from(piece)));
    expect(data).toBe(`one-two${"x".repeat(300)}${LONG}`);
    expect(controls.map((control) => control.slice(0, 3))).toEqual(["9 a", "8 \x03"]);
  });
}

test("FrameReader refuses what a client must not send", () => {
  for (const frame of [
    { opcode: 2, payload: "not masked", masked: false },
    { opcode: 2, payload: "compressed", reserved: 0x40 },
    { opcode: 3, payload: "unknown" },
    { opcode: 9, payload: "x".repeat(126) },
    { opcode: 9, payload: "in two", fin: false },
  ]) {
    expect(() => read([encode(frame)])).toThrow(DhowError);
  }
});

test("FrameReader reads any messages in any pieces", () => {
  const frame = fc.oneof(
    fc.record({ opcode: fc.constantFrom(0, 1, 2), payload: fc.string({ maxLength: 300 }), fin: fc.boolean() }),
    fc.record({ opcode: fc.constantFrom(8, 9, 10), payload: fc.string({ maxLength: 30 }) }),
    fc.nat(70_000).map((size) => ({ opcode: 2, payload: "x".repeat(size) })),
  );
  fc.assert(
    fc.property(
      fc.array(frame, { maxLength: 6 }),
      fc.array(fc.integer({ min: 1, max: 5000 }), { minLength: 1, maxLength: 4 }),
      (frames, cuts) => {
        const bytes = Buffer.concat(frames.map(encode));
        const pieces: Buffer[] = [];
        for (let at = 0, n = 0; at < bytes.length; n++) {
          const size = cuts[n % cuts.length] ?? 1;
          pieces.push(Buffer.from(bytes.subarray(at, at + size)));
          at += size;
        }
        const { data, controls } = read(pieces);
        const text = (isControl: boolean): string[] =>
          frames.filter(({ opcode }) => opcode > 2 === isControl).map(({ payload }) => payload);
        expect(Buffer.from(data, "latin1").toString()).toBe(text(false).join(""));
        expect(controls.map((control) => control.replace(/^\d+ /, ""))).toEqual(text(true));
      },
    ),
    { interruptAfterTimeLimit: 1_500, numRuns: 500 },
  );
});

test("FrameReader takes any bytes, or says that they are against the protocol", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (pieces) => {
      try {
        read(pieces);
      } catch (error) {
        expect(error).toBeInstanceOf(DhowError);
      }
    }),
    { interruptAfterTimeLimit: 1_000, numRuns: 5_000 },
  );
});

test("FrameReader holds no payload, however long a frame says that it is", () => {
  let bytes = 0;
  const data = (payload: Uint8Array): void => {
    bytes += payload.length;
  };
  const reader = new FrameReader({ data, control: () => {} });
  reader.read(Buffer.from([0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4]));
  for (let i = 0; i < 100; i++) reader.read(new Uint8Array(100_000));
  expect(bytes).toBe(10_000_000);
});
