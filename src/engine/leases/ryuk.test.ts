import { expect, test } from "bun:test";
import { parseReaperLine } from "./ryuk.ts";

test("parseReaperLine() reads what Testcontainers sends", () => {
  expect(parseReaperLine("label=org.testcontainers.sessionId%3Dabc&label=org.testcontainers%3Dtrue\r")).toEqual({
    label: ["org.testcontainers.sessionId=abc", "org.testcontainers=true"],
  });
  expect(parseReaperLine("label=a=b&name=x")).toEqual({ label: ["a=b"], name: ["x"] });
});

test("parseReaperLine() refuses what would take objects that nobody has marked", () => {
  for (const line of ["", "label=", "label=a", "name=x", "status=running&label=a=b", "GET / HTTP/1.1"]) {
    expect(parseReaperLine(line)).toBeUndefined();
  }
});
