import { expect, test } from "bun:test";
import { overridden } from "./environment.ts";

test("overridden() puts values in their place and new variables behind", () => {
  expect(overridden(["PATH=/bin", "HOSTNAME=a", "TERM=xterm"], ["A=1", "PATH=/x=y", "TERM="])).toEqual([
    "PATH=/x=y",
    "HOSTNAME=a",
    "TERM=",
    "A=1",
  ]);
});

test("overridden() takes away what has no value", () => {
  expect(overridden(["PATH=/bin", "HOSTNAME=a"], ["HOSTNAME", "NOTHING", "B=2"])).toEqual(["PATH=/bin", "B=2"]);
});

test("overridden() keeps variables that are given twice", () => {
  expect(overridden(["PATH=/bin"], ["A=1", "A=2"])).toEqual(["PATH=/bin", "A=1", "A=2"]);
});
