import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Nil, Struct, TemplateError, template } from "./mod.ts";

const row = new Struct(
  "*formatter.Row",
  { Name: "web-1", Size: 5, List: ["a", "b"], Map: { k: "v" } },
  { Label: (name: unknown) => `<${name}>` },
);

/** Templates on `row`, and what Go makes of them. */
const CASES: readonly (readonly [string, string])[] = [
  ["{{.Name}}", "web-1"],
  ["{{.Size}}|{{.List}}|{{.Map}}", "5|[a b]|map[k:v]"],
  ['{{.Label "x"}}', "<x>"],
  ['{{"x" | .Label}}', "<x>"],
  ["a {{- .Name -}} b", "aweb-1b"],
  ["{{/* nothing */}}x", "x"],
  ['{{if eq .Name "web-1"}}yes{{else}}no{{end}}', "yes"],
  ["{{if and .Size (gt .Size 4) (lt .Size 6)}}in{{end}}", "in"],
  ["{{if not .Name}}a{{else if eq .Size 5}}b{{else}}c{{end}}", "b"],
  ["{{range .List}}[{{.}}]{{end}}", "[a][b]"],
  ["{{range $i, $e := .List}}{{$i}}={{$e}};{{end}}", "0=a;1=b;"],
  ["{{range $k, $v := .Map}}{{$k}}{{$v}}{{end}}", "kv"],
  ['{{range .List}}{{if eq . "b"}}{{break}}{{end}}{{.}}{{end}}', "a"],
  ["{{range .List}}{{.}}{{else}}none{{end}}", "ab"],
  ["{{with .Map}}{{.k}}{{end}}", "v"],
  ["{{$x := .Name}}{{with .Map}}{{$x}}{{$.Size}}{{end}}", "web-15"],
  ["{{$n := 1}}{{range .List}}{{$n = 2}}{{end}}{{$n}}", "2"],
  ['{{printf "%-6s|%5.1f|%q|%v|%03d" .Name 1.25 "a" .List 7}}', 'web-1 |  1.2|"a"|[a b]|007'],
  ["{{json .List}} {{json .Name}}", '["a","b"] "web-1"'],
  ['{{join .List ","}} {{index .List 1}} {{len .Name}} {{index (split .Name "-") 1}}', "a,b b 5 1"],
  ["{{upper .Name}} {{title .Name}} {{truncate .Name 3}} {{pad .Name 1 2}}|", "WEB-1 Web-1 web  web-1  |"],
  ['{{println "a" 1}}{{print "a" 1 2 "b"}}', "a 1\na1 2b"],
  ["{{(index .List 0) | upper}}", "A"],
  ['{{or "" "x"}}{{and 1 0}}', "x0"],
  ['{{define "d"}}<{{.}}{{$}}>{{end}}{{template "d" .Name}}{{template "d"}}', "<web-1web-1><<no value><no value>>"],
  ['{{block "b" .Map}}{{.k}}{{end}}{{define "b"}}  {{end}}', "v"],
  ["{{.Name |}}", "web-1"],
  ['{{printf "%e|%.3v|%U|% d" 12345.678 .Name 65 5}}', "1.234568e+04|web|U+0041| 5"],
  ['{{js "a<b>=\'c\'"}} {{urlquery "a b(c)\'!"}} {{html nil}}', "a\\u003Cb\\u003E\\u003D\\'c\\' a+b%28c%29%27%21 &lt;no value&gt;"],
  ['{{printf "%05d|%-4d|%d" -3 7 nil}}', "-0003|7   |%!d(<nil>)"],
];

/** Templates that fail, and Go's words. */
const FAILURES: readonly (readonly [string, string])[] = [
  ["{{lower 1}}", 'template: :1:8: executing "" at <1>: expected string; found 1'],
  ["{{upper nil}}", 'template: :1:8: executing "" at <nil>: cannot assign nil to string'],
  ["{{.List | lower}}", 'template: :1:10: executing "" at <lower>: wrong type for value; expected string; got []interface {}'],
  [
    "{{truncate .Name -1}}",
    'template: :1:2: executing "" at <truncate .Name -1>: error calling truncate: runtime error: slice bounds out of range [:-1]',
  ],
  ["{{pad .Name -1 0}}", 'template: :1:2: executing "" at <pad .Name -1 0>: error calling pad: strings: negative Repeat count'],
  ["{{.Nope}}", `template: :1:2: executing "" at <.Nope>: can't evaluate field Nope in type *formatter.Row`],
  ["{{.Name", "template: :1: unclosed action"],
  ["{{nope .}}", 'template: :1: function "nope" not defined'],
  ["{{if .Name}}", "template: :1: unexpected EOF"],
  ["{{end}}", "template: :1: unexpected {{end}}"],
  ["{{json}}", 'template: :1:2: executing "" at <json>: wrong number of args for json: want 1 got 0'],
  ["{{.Label}}", 'template: :1:2: executing "" at <.Label>: wrong number of args for Label: want 1 got 0'],
  ["{{$x}}", 'template: :1: undefined variable "$x"'],
  ["{{eq .Name 1}}", 'template: :1:2: executing "" at <eq .Name 1>: error calling eq: incompatible types for comparison'],
];

describe("template()", () => {
  for (const [source, text] of CASES) test(`renders ${source}`, () => expect(template(source)(row)).toBe(text));

  for (const [source, message] of FAILURES) {
    test(`refuses ${source}`, () => expect(() => template(source)(row)).toThrow(new Error(message)));
  }

  test("names a missing key where that is an error", () => {
    const strict = template("{{.A.B}}", { isMissingKeyError: true });
    expect(() => strict({ A: {} })).toThrow('template: :1:4: executing "" at <.A.B>: map has no entry for key "B"');
    expect(template("{{.A.B}}")({ A: {} })).toBe("<no value>");
  });

  test("prints a nil as its type does", () => {
    const data = { Map: new Nil("map[]"), Pointer: new Nil("<nil>"), List: new Nil("[]") };
    expect(template("{{.Map}}{{.Pointer}}{{.List}}{{json .List}}{{len .List}}{{if .Map}}x{{end}}")(data)).toBe("map[]<nil>[]null0");
  });

  test("marshals a row with sorted keys and escaped HTML", () => {
    expect(template("{{json .}}")(new Struct("r", { B: "<none>", A: 1 }))).toBe('{"A":1,"B":"\\u003cnone\\u003e"}');
  });
});

test("a map that lacks a key has no value, where a missing key is an error", () => {
  const options = { isMissingKeyError: true, maps: new Set(["Labels"]) };
  const value = { Config: { Labels: { a: "b" }, Nil: null } };
  expect(template("{{.Config.Labels.a}}{{.Config.Labels.x}}", options)(value)).toBe("b<no value>");
  expect(() => template("{{.Config.x}}", options)(value)).toThrow('map has no entry for key "x"');
});

describe("templates that nobody should write", () => {
  const piece = fc.constantFrom(
    ...[
      "{{",
      "}}",
      "{{-",
      "-}}",
      "(",
      ")",
      "|",
      ".",
      ".Name",
      ".List",
      ".Map.k",
      ".Nope",
      "$",
      "$x",
      ":=",
      "=",
      ",",
      " ",
      "\n",
      "x",
      '"',
      "`",
      "'a'",
    ],
    ...[
      "if",
      "else",
      "end",
      "range",
      "with",
      "define",
      "template",
      "block",
      "break",
      "continue",
      "nil",
      "true",
      "1",
      "-3",
      "1.5",
      "99999999999999999999",
    ],
    ...["len", "index", "slice", "printf", "json", "join", "eq", "lt", "html", "js", "urlquery", "truncate", "pad", "split"],
    ...['"%s"', '"%999999999d"', '"%.999f"', '"%c"', '"%*d"', '"\\U7fffffff"', '"\\xff"', "/*", "*/"],
  );
  const soup = fc.array(piece, { maxLength: 14 }).map((parts) => parts.join(""));
  const actions = fc
    .array(
      fc.array(piece, { maxLength: 6 }).map((parts) => `{{${parts.join(" ")}}}`),
      { maxLength: 4 },
    )
    .map((parts) => parts.join("x"));
  test("fail in Go's words, or print", () => {
    fc.assert(
      fc.property(fc.oneof(soup, actions, fc.string()), (source) => {
        try {
          expect(typeof template(source)(row)).toBe("string");
        } catch (error) {
          expect(error).toBeInstanceOf(TemplateError);
        }
      }),
      { interruptAfterTimeLimit: 2_000, numRuns: 5_000 },
    );
  });

  const DEEP = 100_000;
  for (const [what, source] of [
    ["parentheses", `{{${"(".repeat(DEEP)}1${")".repeat(DEEP)}}}`],
    ["blocks", `${"{{if true}}".repeat(DEEP)}${"{{end}}".repeat(DEEP)}`],
    ["definitions", `${'{{define "a"}}'.repeat(DEEP)}${"{{end}}".repeat(DEEP)}`],
    ["alternatives", `{{if false}}${"{{else if false}}".repeat(DEEP)}{{end}}`],
    ["templates in themselves", '{{define "a"}}{{template "a"}}{{end}}{{template "a"}}'],
    ["spaces", `{{${" ".repeat(DEEP)}`],
    ["numbers to count to", "{{range 99999999999}}{{end}}"],
  ] as const) {
    test(`end at ${what} without end`, () => expect(() => template(source)(row)).toThrow(TemplateError));
  }
});
