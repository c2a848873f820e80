import { expect, test } from "bun:test";
import { parsePs, top } from "./top.ts";

test("parsePs() keeps the rows of the wanted processes and the command's blanks", () => {
  const output = "UID   PID  PPID CMD\nroot    1     0 init\nroot   42     1 sh -c sleep  9\n";
  expect(parsePs(output, new Set([42]))).toEqual({
    Titles: ["UID", "PID", "PPID", "CMD"],
    Processes: [["root", "42", "1", "sh -c sleep 9"]],
  });
});

test("parsePs() wants a PID column", () => {
  expect(() => parsePs("CMD\nsh\n", new Set([1]))).toThrow("Couldn't find PID field in ps output");
});

test("top() shows this very process", async () => {
  const result = await top([process.pid], "-o pid,comm");
  expect(result.Titles).toEqual(["PID", "COMMAND"]);
  expect(result.Processes?.[0]?.[0]).toBe(String(process.pid));
});

test("top() refuses to call another column PID", async () => {
  await expect(top([process.pid], "-o ppid=PID -o comm")).rejects.toThrow('specifying "ppid=PID" is not allowed');
  expect((await top([process.pid], "-o pid=PID -o comm")).Titles).toEqual(["PID", "COMMAND"]);
});
