import { describe, expect, test } from "bun:test";
import { BOOLEAN, BYTES, DURATION, FILTER, INT, LIST, parseSize, STRING } from "./flag-kinds.ts";
import { HelpRequest, parseFlags } from "./flags.ts";

const TABLE = {
  all: { kind: BOOLEAN, short: "a", help: "" },
  detach: { kind: BOOLEAN, short: "d", help: "" },
  env: { kind: LIST, short: "e", help: "" },
  name: { kind: STRING, help: "" },
  last: { kind: INT, short: "n", initial: -1, help: "" },
  filter: { kind: FILTER, short: "f", help: "" },
  interval: { kind: DURATION, help: "" },
} as const;

function parse(line: string, isInterspersed = true): ReturnType<typeof parseFlags> {
  return parseFlags(TABLE, line.split(" ").filter(Boolean), isInterspersed);
}

describe("parseFlags()", () => {
  test("reads joined and separate forms", () => {
    const { values, args, changed } = parse("-ad --name=x -eA=1 -e B=2 -n5 c");
    expect(values).toMatchObject({ all: true, detach: true, name: "x", env: ["A=1", "B=2"], last: 5 });
    expect(args).toEqual(["c"]);
    expect([...changed]).toEqual(["all", "detach", "name", "env", "last"]);
  });

  test("stops at the first argument when flags may not follow", () => {
    expect(parse("-a image --all -x", false).args).toEqual(["image", "--all", "-x"]);
    expect(parse("x -a").values["all"]).toBe(true);
  });

  test("takes everything after -- as arguments", () => expect(parse("-a -- -d --x").args).toEqual(["-d", "--x"]));

  test("collects filters", () => {
    expect(parse("-f label=a=b -f label=c -f label!=d").values["filter"]).toEqual({ label: ["a=b", "c"], "label!": ["d"] });
  });

  const MISTAKES: readonly (readonly [string, string])[] = [
    ["--foo", "unknown flag: --foo"],
    ["-Z", "unknown shorthand flag: 'Z' in -Z"],
    ["-aZ", "unknown shorthand flag: 'Z' in -Z"],
    ["--name", "flag needs an argument: --name"],
    ["-n", "flag needs an argument: 'n' in -n"],
    ["--=x", "bad flag syntax: --=x"],
    ["-n x", 'invalid argument "x" for "-n, --last" flag: strconv.ParseInt: parsing "x": invalid syntax'],
    ["--all=maybe", 'invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": invalid syntax'],
    ["-f x", 'invalid argument "x" for "-f, --filter" flag: bad format of filter (expected name=value)'],
    ["--interval 5", 'invalid argument "5" for "--interval" flag: time: missing unit in duration "5"'],
  ];
  for (const [line, message] of MISTAKES) test(`refuses ${line}`, () => expect(() => parse(line)).toThrow(new Error(message)));

  test("knows --help", () => expect(() => parse("--help")).toThrow(HelpRequest));
});

describe("parseSize()", () => {
  test("reads docker's units", () => {
    expect(["1", "1k", "2MB", "1.5g", "3KiB"].map(parseSize)).toEqual([1, 1024, 2 << 20, 1.5 * 1024 ** 3, 3072]);
  });

  test("refuses what is no size", () => {
    expect(() => BYTES.parse("1x", 0)).toThrow("invalid suffix: 'x'");
    expect(() => BYTES.parse("x", 0)).toThrow("invalid size: 'x'");
    expect(() => BYTES.parse("-1", 0)).toThrow("invalid size: '-1'");
  });
});
