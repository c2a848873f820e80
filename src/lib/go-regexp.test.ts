import { expect, test } from "bun:test";
import { filterTest, goRegexp } from "./go-regexp.ts";

test("an expression that is made to be slow is answered at once", () => {
  // a backtracking engine would need longer than the universe is old
  expect(goRegexp("^(a+)+$")(`${"a".repeat(250)}!`)).toBe(false);
  expect(goRegexp("(x+x+)+y")("x".repeat(4096))).toBe(false);
});

test.each([
  ["", "web", true],
  ["eb", "web", true],
  ["^we", "web", true],
  ["^eb", "web", false],
  ["eb$", "web", true],
  ["we$", "web", false],
  ["^web$", "web", true],
  ["^web$", "web2", false],
  ["w.b", "web", true],
  ["(?i)WEB", "web", true],
  ["^(?P<first>w)(?<second>e)b\\z", "web", true],
  ["\\Qw.b\\E", "web", false],
  ["web\\z", "web\n", false],
  ["web$", "web\n", false],
  ["\\pL{3}", "wéb", true],
  ["a{,2}", "a{,2}", true],
])("the expression %p in %p: %p", (expression, text, isFound) => {
  expect(goRegexp(expression)(text)).toBe(isFound);
});

test.each([
  ["(", "missing closing ): `(`"],
  ["[", "missing closing ]: `[`"],
  [")", "unexpected ): `)`"],
  ["a**", "invalid nested repetition operator: `**`"],
  ["*", "missing argument to repetition operator: `*`"],
  ["(?=a)", "invalid or unsupported Perl syntax: `(?=`"],
  ["\\", "trailing backslash at end of expression: ``"],
  ["\\8", "invalid escape sequence: `\\8`"],
  ["x{1001}", "invalid repeat count: `{1001}`"],
  ["[b-a]", "invalid character class range: `b-a`"],
])("the expression %p is refused in Go's words", (expression, message) => {
  expect(() => goRegexp(expression)).toThrow(`error parsing regexp: ${message}`);
});

test("one that nests too deeply or is too large is refused", () => {
  const deep = "(".repeat(1100) + ")".repeat(1100);
  expect(() => goRegexp(deep)).toThrow(`error parsing regexp: expression nests too deeply: \`${deep}\``);
  expect(() => goRegexp("(?:a?){1000}".repeat(5000))).toThrow("error parsing regexp: expression too large");
});

test("filterTest() takes the text itself and expressions; what is none is found in nothing", () => {
  const passes = filterTest(["(", "^we", "a+b"]);
  expect(["web", "(", "x(", "a+b", "aab", "x"].map(passes)).toEqual([true, true, false, true, true, false]);
});
