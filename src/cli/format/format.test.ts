import { expect, test } from "bun:test";
import { Struct } from "../../lib/mod.ts";
import { indentJson } from "./indent-json.ts";
import { displayablePorts } from "./ports.ts";
import { formatRows } from "./table.ts";
import { alignColumns } from "./tabwriter.ts";

test("alignColumns() pads columns of neighbouring lines", () => {
  expect(alignColumns("ID\tNAME\tX\nabc\tlonger-name\ty\n")).toBe("ID        NAME          X\nabc       longer-name   y\n");
});

test("alignColumns() ends a column where a line lacks it", () => {
  expect(alignColumns("long-first-cell\tb\nplain\na\tb\n")).toBe("long-first-cell   b\nplain\na         b\n");
});

test("formatRows() prints heads, rows, and plain templates", () => {
  const rows = [new Struct("r", { ID: "1", Name: "a" })];
  const headers = { ID: "ID", Name: "NAME" };
  expect(formatRows({ format: "table {{.ID}}\\t{{.Name | upper}}", headers, rows })).toBe("ID        NAME\n1         A\n");
  expect(formatRows({ format: "{{.Name}}", headers, rows })).toBe("a\n");
  expect(formatRows({ format: "json", headers, rows })).toBe('{"ID":"1","Name":"a"}\n');
});

test("displayablePorts() joins neighbours", () => {
  const port = (PrivatePort: number, PublicPort?: number, IP = "") => ({
    PrivatePort,
    Type: "tcp" as const,
    ...(PublicPort && { PublicPort }),
    ...(IP && { IP }),
  });
  expect(displayablePorts([port(80), port(81), port(443)])).toBe("80-81/tcp, 443/tcp");
  expect(displayablePorts([port(80, 80, "0.0.0.0"), port(81, 81, "0.0.0.0"), port(80, 8080, "::")])).toBe(
    "0.0.0.0:80-81->80-81/tcp, [::]:8080->80/tcp",
  );
});

test("indentJson() keeps numbers, escapes and order", () => {
  expect(indentJson('[{"b":12345678901234567890,"a":"\\u003c,{","c":{},"d":[]}]')).toBe(
    '[\n    {\n        "b": 12345678901234567890,\n        "a": "\\u003c,{",\n        "c": {},\n        "d": []\n    }\n]',
  );
});
