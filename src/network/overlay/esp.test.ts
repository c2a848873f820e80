import { expect, test } from "bun:test";
import { parseIp } from "../ip.ts";
import { type EspMarks, type EspSession, espPlan, espReqid, espState, isBlockOf, nextRing, PORTS_PER_DAEMON, portBlocks } from "./esp.ts";
import { overlayMtu } from "./overlay-network.ts";

const session = (host: string, vtep: string): EspSession => ({ host, vtep, nonce: `of ${host}` });
const a = session("a", "192.0.2.1");
const b = session("b", "192.0.2.2");
const c = session("c", "192.0.2.3");
const marks = (host: string): EspMarks => ({ reqid: espReqid(host), firstPort: portBlocks(host)[0] ?? 0, count: PORTS_PER_DAEMON });
const [forA, forB] = [marks("a"), marks("b")];
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("what one host sends under is what the other receives under; no two states have a key in common", () => {
  const ring = nextRing(undefined);
  const [ofA, ofB] = [espPlan(ring, a, [b, c], forA), espPlan(ring, b, [a, c], forB)];
  const [toB] = ofA.outbound;
  const from = ofB.inbound.filter(({ source }) => hex(source) === hex(toB?.source ?? new Uint8Array()));
  expect(from).toHaveLength(3);
  expect(from.map(({ spi, key }) => [spi, hex(key)])).toContainEqual([toB?.spi ?? 0, hex(toB?.key ?? new Uint8Array())]);
  const all = [...ofA.inbound, ...ofA.outbound, ...ofB.inbound.filter(({ source }) => source[3] !== 1)];
  expect(new Set(all.map(({ key }) => hex(key))).size).toBe(all.length);
  expect(new Set(all.map(({ spi }) => spi)).size).toBe(all.length);
  expect(all.every(({ spi }) => spi >= 256)).toBe(true);
});

test("over two rotations a state that is sent under was received under before, and is after", () => {
  const rings = [nextRing(undefined)];
  for (let n = 0; n < 2; n++) rings.push(nextRing(rings[n]));
  const sent = rings.map((ring) => espPlan(ring, a, [b], forA).outbound[0]?.spi);
  const received = rings.map((ring) => espPlan(ring, b, [a], forB).inbound.map(({ spi }) => spi));
  expect(received[0]).toContain(sent[1] ?? 0);
  expect(received[1]).toContain(sent[0] ?? 0);
  expect(received[2]).not.toContain(sent[0] ?? 0);
});

test("another nonce at either end is another state", () => {
  const { current } = nextRing(undefined);
  const states = [espState(current, a, b, 1), espState(current, { ...a, nonce: "x" }, b, 1), espState(current, a, { ...b, nonce: "x" }, 1)];
  expect(new Set(states.map(({ spi }) => spi)).size).toBe(3);
});

test("policies: one for each host, and one that drops what is for no host", () => {
  const { policies } = espPlan(nextRing(undefined), a, [b, c], forA);
  expect(policies.map(({ flow, priority, transform }) => [flow.destination?.[3], priority > 0, transform?.reqid])).toEqual([
    [undefined, true, undefined],
    [2, false, forA.reqid],
    [3, false, forA.reqid],
  ]);
  expect(policies.map((policy) => [isBlockOf(policy, forA.reqid), isBlockOf(policy, forB.reqid)])).toEqual([
    [true, false],
    [false, false],
    [false, false],
  ]);
  expect(forA.firstPort & (policies[0]?.flow.sourcePortMask ?? 0)).toBe(forA.firstPort);
  expect(parseIp(a.vtep).family).toBe(policies[0]?.flow.family ?? 6);
});

test("each host has its own order of the same blocks of ports", () => {
  const [ofA, ofB] = [portBlocks("a"), portBlocks("b")];
  expect(new Set(ofA).size).toBe(63);
  expect(ofA).not.toEqual(ofB);
  expect(ofA.toSorted()).toEqual(ofB.toSorted());
  expect(Math.max(...ofA) + PORTS_PER_DAEMON).toBeLessThan(0x10000);
});

test("the MTU leaves room for the headers", () => {
  const of = (options: Readonly<Record<string, string>>): number => overlayMtu({ options }, 4);
  expect([
    of({}),
    of({ encrypted: "" }),
    of({ "com.docker.network.driver.mtu": "9000" }),
    overlayMtu({ options: { encrypted: "" } }, 6),
  ]).toEqual([1450, 1416, 8950, 1396]);
});
