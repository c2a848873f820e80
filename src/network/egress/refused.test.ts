import { expect, test } from "bun:test";
import { type RefusedName, RefusedNames } from "./refused.ts";

test("names that are told are written down at once, more of them later, and never more than 256", () => {
  const written: RefusedName[][] = [];
  const names = new RefusedNames([{ name: "a.test", queries: 2, lastAt: 1 }], () => written.push(names.list()));
  expect(names.note("a.test")).toBe(false);
  expect(written).toEqual([]);
  expect(names.note("b.test")).toBe(true);
  expect(written.map((list) => list.map(({ name, queries }) => `${name} ${queries}`))).toEqual([["a.test 3", "b.test 1"]]);
  const told = Array.from({ length: 300 }, (_, index) => names.note(`${index}.test`)).filter(Boolean);
  expect(told).toHaveLength(19);
  expect(names.mayTell()).toBe(false);
  expect(written).toHaveLength(20);
  names.flush();
  names.flush();
  expect(written).toHaveLength(21);
  expect(written.at(-1)).toHaveLength(256);
  expect(written.at(-1)?.at(-1)?.name).toBe("299.test");
});
