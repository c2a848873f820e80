import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DhowError } from "../lib/mod.ts";
import {
  familiarName,
  familiarString,
  parseAnyReference,
  parseReference,
  referenceMatcher,
  referenceString,
  repoTagReference,
  withDefaultTag,
  withTag,
} from "./reference.ts";

const HEX = "ab".repeat(32);

describe("parseReference()", () => {
  const forms: readonly (readonly [string, string, string])[] = [
    ["busybox", "docker.io/library/busybox", "busybox"],
    ["library/busybox", "docker.io/library/busybox", "busybox"],
    ["docker.io/library/busybox:1", "docker.io/library/busybox:1", "busybox:1"],
    ["index.docker.io/busybox", "docker.io/library/busybox", "busybox"],
    ["distro/busybox", "docker.io/distro/busybox", "distro/busybox"],
    ["localhost/x", "localhost/x", "localhost/x"],
    ["localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b:t"],
    ["[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"],
    ["Upper/a", "Upper/a", "Upper/a"],
    ["a--b__c.d:T_1.x-y", "docker.io/library/a--b__c.d:T_1.x-y", "a--b__c.d:T_1.x-y"],
    [`x:t@sha256:${HEX}`, `docker.io/library/x:t@sha256:${HEX}`, `x:t@sha256:${HEX}`],
    ["docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"],
  ];
  for (const [text, full, familiar] of forms) {
    test(`reads ${text}`, () => {
      const reference = parseReference(text);
      expect(referenceString(reference)).toBe(full);
      expect(familiarString(reference)).toBe(familiar);
    });
  }

  const refused: readonly (readonly [string, string])[] = [
    ["", "invalid reference format"],
    ["Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"],
    ["a/B:t", "invalid reference format: repository name (a/B) must be lowercase"],
    ["x:", "invalid reference format"],
    ["x:-t", "invalid reference format"],
    [":t", "invalid reference format"],
    ["x@sha256:abc", "invalid reference format"],
    ["-x", "invalid reference format"],
    ["a..b", "invalid reference format"],
    ["a___b", "invalid reference format"],
    ["x y", "invalid reference format"],
    ["x\n", "invalid reference format"],
    ["../x", "invalid reference format"],
    [HEX, `invalid repository name (${HEX}), cannot specify 64-byte hexadecimal strings`],
    [`x@sha256:${"a".repeat(40)}`, "invalid checksum digest length"],
    [`x@sha257:${"a".repeat(64)}`, "unsupported digest algorithm"],
    ["a".repeat(256), "repository name must not be more than 255 characters"],
    [`x:${"t".repeat(129)}`, "invalid reference format"],
  ];
  for (const [text, message] of refused) {
    test(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => expect(() => parseReference(text)).toThrow(new Error(message)));
  }

  test("reads back what it wrote", () => {
    const component = fc.stringMatching(/^[a-z0-9]+([._-][a-z0-9]+)*$/).filter((s) => s.length < 30);
    const tag = fc.stringMatching(/^[\w][\w.-]{0,20}$/);
    fc.assert(
      fc.property(fc.array(component, { minLength: 1, maxLength: 3 }), tag, (path, t) => {
        const text = `${path.join("/")}:${t}`;
        // A first part with a dot is a host's name, of a stricter form.
        if (path.length > 1 && (path[0] ?? "").includes(".")) return;
        const reference = parseReference(text);
        expect(parseReference(familiarString(reference))).toEqual(reference);
        expect(parseReference(referenceString(reference))).toEqual(reference);
      }),
    );
  });
});

test("parseAnyReference() takes full ids for ids", () => {
  expect(parseAnyReference(HEX).kind).toBe("id");
  expect(parseAnyReference(`sha256:${HEX}`).kind).toBe("id");
  expect(parseAnyReference("sha256:abc").kind).toBe("name");
});

test("withDefaultTag() adds latest only to a bare name", () => {
  expect(familiarString(withDefaultTag(parseReference("x")))).toBe("x:latest");
  expect(familiarString(withDefaultTag(parseReference("x:1")))).toBe("x:1");
  expect(familiarString(withDefaultTag(parseReference(`x@sha256:${HEX}`)))).toBe(`x@sha256:${HEX}`);
});

test("repoTagReference() joins repository and tag", () => {
  expect(repoTagReference("", "x")).toBeNull();
  const joined = repoTagReference("localhost:5000/a", "2");
  expect(joined && familiarString(joined)).toBe("localhost:5000/a:2");
  expect(() => repoTagReference(`x@sha256:${HEX}`, "")).toThrow(new Error("cannot import digest reference"));
  expect(() => withTag(parseReference("x"), "a b")).toThrow(new Error("invalid tag format"));
});

test("referenceMatcher() is path.Match on the name as users write it and in full, with and without the tag", () => {
  const fits = (glob: string, text: string): boolean => referenceMatcher(glob)(withDefaultTag(parseReference(text)));
  expect(fits("busybox", "busybox")).toBe(true);
  expect(fits("busy*", "busybox:1")).toBe(true);
  expect(fits("busy*:lat*", "busybox")).toBe(true);
  expect(fits("*", "a/b")).toBe(false);
  expect(fits("*/*", "a/b")).toBe(true);
  expect(fits("[ab]usybox", "busybox")).toBe(true);
  expect(fits("a.b", "axb")).toBe(false);
  expect(fits("docker.io/library/busybox", "busybox:1")).toBe(true);
  expect(fits("docker.io/library/busybox:*", "busybox")).toBe(true);
  expect(fits("docker.io/a/b", "a/b")).toBe(true);
  expect(fits("docker.io/busybox", "busybox")).toBe(false);
  expect(fits(`${"*a".repeat(100)}*b`, "a".repeat(120))).toBe(false);
  expect(() => referenceMatcher("[a")).toThrow(new Error("syntax error in pattern"));
  expect(familiarName(parseReference("x:1"))).toBe("x");
});

test("parseReference() takes any text, or says that it is none; what it prints is what it reads", () => {
  const part = fc.constantFrom(
    "a",
    "B",
    "/",
    ":",
    "@",
    "sha256:",
    "0123456789abcdef",
    ".",
    "-",
    "_",
    "__",
    "localhost",
    "[::1]",
    "5000",
    "é",
  );
  const text = fc.oneof(
    fc.array(part, { maxLength: 8 }).map((parts) => parts.join("")),
    fc.string(),
  );
  fc.assert(
    fc.property(text, fc.constantFrom(1, 1, 1, 3000), (piece, times) => {
      try {
        const reference = parseReference(piece.repeat(times));
        expect(familiarString(parseReference(familiarString(reference)))).toBe(familiarString(reference));
        expect(referenceString(parseReference(referenceString(reference)))).toBe(referenceString(reference));
      } catch (error) {
        expect(error).toBeInstanceOf(DhowError);
      }
    }),
    { interruptAfterTimeLimit: 1_500, numRuns: 3_000 },
  );
});
