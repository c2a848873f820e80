import { expect, test } from "bun:test";
import fc from "fast-check";
import { PathSet } from "./path-set.ts";

test("knows what a plain set of strings knows, after any changes", () => {
  const path = fc.array(fc.constantFrom("a", "b", "ab"), { minLength: 1, maxLength: 3 }).map((names) => names.join("/"));
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), path), { maxLength: 20 }), fc.array(path), (changes, asked) => {
      const set = new PathSet();
      const plain = new Set<string>();
      const within = (at: string): string[] => [...plain].filter((other) => other === at || other.startsWith(`${at}/`));
      for (const [isAdded, at] of changes) {
        if (isAdded) set.add(at);
        else set.deleteWithin(at);
        if (isAdded) plain.add(at);
        else for (const other of within(at)) plain.delete(other);
      }
      for (const at of [...asked, ...changes.map(([, changed]) => changed)]) {
        expect(set.has(at)).toBe(plain.has(at));
        expect(set.hasWithin(at)).toBe(within(at).length > 0);
      }
    }),
  );
});
