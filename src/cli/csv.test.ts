import { expect, test } from "bun:test";
import { csvFields } from "./csv.ts";

test("csvFields() reads what flags have", () => {
  expect(csvFields("type=bind,src=/a,ro")).toEqual(["type=bind", "src=/a", "ro"]);
  expect(csvFields('type=tmpfs,"dst=/a,b"')).toEqual(["type=tmpfs", "dst=/a,b"]);
  expect(csvFields('"say ""hi""",x')).toEqual(['say "hi"', "x"]);
  expect(csvFields('"two\nlines",x\nnot this')).toEqual(["two\nlines", "x"]);
  expect(csvFields(",a,,")).toEqual(["", "a", "", ""]);
  expect(csvFields('""')).toEqual([""]);
  expect(csvFields("a\r\nb")).toEqual(["a"]);
});

test.each([
  ["", "EOF"],
  ["\n", "EOF"],
  ['name=a"', 'parse error on line 1, column 7: bare " in non-quoted-field'],
  ['é,é"', 'parse error on line 1, column 6: bare " in non-quoted-field'],
  ['"name=a', 'parse error on line 1, column 8: extraneous or missing " in quoted-field'],
  ['"name=a"x', 'parse error on line 1, column 8: extraneous or missing " in quoted-field'],
  ['"a"",b', 'parse error on line 1, column 7: extraneous or missing " in quoted-field'],
  ['"type=bind\n"x', 'record on line 1; parse error on line 2, column 1: extraneous or missing " in quoted-field'],
])("csvFields(%j) is refused in docker's words", (text, message) => {
  expect(() => csvFields(text)).toThrow(new Error(message));
});
