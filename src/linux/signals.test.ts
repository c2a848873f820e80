import { expect, test } from "bun:test";
import { constants } from "node:os";
import { isKind } from "../lib/mod.ts";
import { isValidSignal, parseSignal, SIGNALS, signalName } from "./signals.ts";
import { thrown } from "./test-support.ts";

test("parseSignal() takes names with and without SIG, in any case, and numbers", () => {
  const accepted = ["KILL", "SIGKILL", "sigkill", "Term", "9", "RTMIN", "RTMIN+3", "SIGRTMAX-1", "rtmax", "CLD", "64", "100"];
  expect(accepted.map(parseSignal)).toEqual([9, 9, 9, 15, 9, 34, 37, 63, 64, 17, 64, 100]);
});

test("parseSignal() refuses the rest in docker's words", () => {
  for (const text of ["", "0", "NOPE", "SIG", "SIGSIGKILL", "9x", "RTMIN+16", "1.5"]) {
    const error = thrown(() => parseSignal(text));
    expect(isKind(error, "invalid")).toBe(true);
    expect(String(error)).toEndWith(`invalid signal: ${text}`);
  }
});

test("the table agrees with this machine's", () => {
  for (const [name, number] of Object.entries(constants.signals)) {
    if (name !== "SIGUNUSED") expect([name, SIGNALS.get(name.slice(3))]).toEqual([name, number]);
  }
});

test("signalName() and isValidSignal()", () => {
  expect([1, 6, 17, 29, 34, 49, 50, 64].map(signalName)).toEqual([
    "SIGHUP",
    "SIGABRT",
    "SIGCHLD",
    "SIGIO",
    "SIGRTMIN",
    "SIGRTMIN+15",
    "SIGRTMAX-14",
    "SIGRTMAX",
  ]);
  expect(signalName(32)).toBeUndefined();
  expect([0, 1, 31, 32, 33, 34, 64, 65, -1].map(isValidSignal)).toEqual([false, true, true, false, false, true, true, false, false]);
});
