import { expect, test } from "bun:test";
import fc from "fast-check";
import type { ChainId, Digest } from "../../lib/mod.ts";
import { type GcImage, type GcLayer, keepersOf, pick } from "./pick.ts";

const HOUR = 3_600_000;
const NOW = 1000 * HOUR;
const POLICY = { nowMs: NOW, minAgeMs: HOUR, needBytes: 1 };
const chain = (name: string): ChainId => `sha256:${name}` as Digest as ChainId;
const id = (name: string): Digest => `sha256:${name}` as Digest;

/** An old image with a layer of its own, unless it is told otherwise. */
function image(name: string, options: Partial<GcImage> = {}): GcImage {
  return {
    id: id(name),
    isDangling: false,
    parent: null,
    layers: [chain(name)],
    addedMs: 0,
    usedMs: 0,
    isPinned: false,
    users: [],
    lease: "",
    isHeld: false,
    ...options,
  };
}

function layer(name: string, sizeBytes = 10, isHeld = false): GcLayer {
  return { chainId: chain(name), sizeBytes, isHeld };
}

const cases: readonly {
  readonly name: string;
  readonly images: readonly GcImage[];
  readonly layers?: readonly GcLayer[];
  readonly need: number;
  readonly picked: readonly (readonly [string, number])[];
}[] = [
  { name: "nothing when nothing is needed", images: [image("a")], need: 0, picked: [] },
  { name: "the least recently used first", images: [image("a", { usedMs: 2 }), image("b", { usedMs: 1 })], need: 1, picked: [["b", 10]] },
  { name: "those without a name before", images: [image("a"), image("b", { usedMs: 9, isDangling: true })], need: 1, picked: [["b", 10]] },
  {
    name: "until there is enough",
    images: [image("a"), image("b"), image("c")],
    need: 11,
    picked: [
      ["a", 10],
      ["b", 10],
    ],
  },
  {
    name: "as many as there are",
    images: [image("a"), image("b")],
    need: 100,
    picked: [
      ["a", 10],
      ["b", 10],
    ],
  },
  {
    name: "no image of a container",
    images: [image("a", { users: [{ name: "x", running: false }] }), image("b")],
    need: 99,
    picked: [["b", 10]],
  },
  { name: "no pinned one", images: [image("a", { isPinned: true })], need: 1, picked: [] },
  {
    name: "no young one",
    images: [image("a", { addedMs: NOW - HOUR + 1 }), image("b", { addedMs: NOW - HOUR })],
    need: 99,
    picked: [["b", 10]],
  },
  {
    name: "none of a lease, none of work in flight",
    images: [image("a", { lease: "ci" }), image("b", { isHeld: true })],
    need: 1,
    picked: [],
  },
  { name: "no parent of one that stays", images: [image("a"), image("b", { parent: id("a"), isPinned: true })], need: 1, picked: [] },
  {
    name: "a parent after its child",
    images: [image("a"), image("b", { parent: id("a"), usedMs: 5 })],
    need: 99,
    picked: [
      ["b", 10],
      ["a", 10],
    ],
  },
  {
    name: "a shared layer with its last image",
    images: [image("a", { layers: [chain("base"), chain("a")] }), image("b", { layers: [chain("base"), chain("b")], usedMs: 1 })],
    layers: [layer("base", 100), layer("a", 1), layer("b", 1)],
    need: 2,
    picked: [
      ["a", 1],
      ["b", 101],
    ],
  },
  {
    name: "a layer that a container stands on frees nothing",
    images: [image("a"), image("b", { usedMs: 1 })],
    layers: [layer("a", 100, true), layer("b", 1)],
    need: 1,
    picked: [
      ["a", 0],
      ["b", 1],
    ],
  },
];

for (const { name, images, layers, need, picked } of cases) {
  test(`pick() takes ${name}`, () => {
    const disk = layers ?? images.map(({ id: name }) => layer(name.slice("sha256:".length)));
    expect(pick(images, disk, { ...POLICY, needBytes: need })).toEqual(picked.map(([name, freedBytes]) => ({ id: id(name), freedBytes })));
  });
}

test("keepersOf() names everything that keeps an image", () => {
  const kept = image("a", { users: [{ name: "web", running: true }], isPinned: true, addedMs: NOW, lease: "ci", isHeld: true });
  expect(keepersOf(kept, [id("b")], POLICY)).toEqual([
    { kind: "container", name: "web", running: true },
    { kind: "pin" },
    { kind: "age", untilMs: NOW + HOUR },
    { kind: "child", id: id("b") },
    { kind: "lease", name: "ci" },
    { kind: "work" },
  ]);
  expect(keepersOf(image("a"), [], POLICY)).toEqual([]);
});

/** A store of up to 12 images over 8 layers; parents are earlier images. */
const store = fc.record({
  images: fc.array(
    fc.record({
      isDangling: fc.boolean(),
      parent: fc.option(fc.nat(11), { nil: null }),
      layers: fc.uniqueArray(fc.nat(7), { maxLength: 4 }),
      ageMs: fc.nat(3 * HOUR),
      usedMs: fc.nat(50),
      isPinned: fc.boolean(),
      isUsed: fc.boolean(),
      isLeased: fc.boolean(),
      isHeld: fc.boolean(),
    }),
    { maxLength: 12 },
  ),
  layers: fc.array(fc.record({ sizeBytes: fc.nat(100), isHeld: fc.boolean() }), { minLength: 8, maxLength: 8 }),
  needBytes: fc.integer({ min: -10, max: 500 }),
});

test("pick() keeps what is to be kept, stops when there is enough, and counts right, whatever there is", () => {
  fc.assert(
    fc.property(store, ({ images: given, layers: sizes, needBytes }) => {
      const images = given.map(
        ({ parent, layers, ageMs, isUsed, isLeased, ...rest }, index): GcImage => ({
          ...image(String(index)),
          ...rest,
          parent: parent !== null && parent < index ? id(String(parent)) : null,
          layers: layers.map((at) => chain(String(at))),
          addedMs: NOW - ageMs,
          users: isUsed ? [{ name: "c", running: false }] : [],
          lease: isLeased ? "ci" : "",
        }),
      );
      const layers = sizes.map(({ sizeBytes, isHeld }, index) => layer(String(index), sizeBytes, isHeld));
      const policy = { ...POLICY, needBytes };
      const picked = pick(images, layers, policy);
      const byId = new Map(images.map((each) => [each.id, each]));
      const left = new Map(byId);
      let freed = 0;
      for (const { id: gone, freedBytes } of picked) {
        // not one more than needed
        expect(freed).toBeLessThan(needBytes);
        const children = [...left.values()].filter(({ parent }) => parent === gone).map((child) => child.id);
        const one = left.get(gone);
        expect(one === undefined ? ["picked twice"] : keepersOf(one, children, policy)).toEqual([]);
        left.delete(gone);
        freed += freedBytes;
      }
      const onDisk = (rest: Iterable<GcImage>): number => {
        const used = new Set([...rest].flatMap((each) => each.layers));
        return layers.filter((each) => each.isHeld || used.has(each.chainId)).reduce((sum, each) => sum + each.sizeBytes, 0);
      };
      expect(freed).toBe(onDisk(byId.values()) - onDisk(left.values()));
      // too little only when all that is left is kept
      if (freed < needBytes) {
        for (const each of left.values()) {
          const children = [...left.values()].filter(({ parent }) => parent === each.id).map((child) => child.id);
          expect(keepersOf(each, children, policy)).not.toEqual([]);
        }
      }
    }),
  );
});
