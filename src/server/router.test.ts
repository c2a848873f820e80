import { expect, test } from "bun:test";
import { noContent } from "./reply.ts";
import { Router, route } from "./router.ts";

const patterns = [
  ["GET", "/images/json"],
  ["GET", "/images/get"],
  ["GET", "/images/:name/json"],
  ["GET", "/images/:name/get"],
  ["DELETE", "/images/:name"],
  ["POST", "/containers/create"],
  ["POST", "/containers/:name/start"],
  ["DELETE", "/containers/:name"],
  ["DELETE", "/containers/:name/checkpoints/:id"],
] as const;
const router = new Router(patterns.map(([method, pattern]) => route(method, pattern, () => noContent)));

test("match() finds whole paths, names with slashes and names at the end", () => {
  const found = (method: string, path: string): string | undefined => {
    const match = router.match(method, path);
    return match && `${match.route.pattern} ${match.name} ${match.id ?? ""}`.trim();
  };
  expect(found("GET", "/images/json")).toBe("/images/json");
  expect(found("GET", "/images/a/json")).toBe("/images/:name/json a");
  expect(found("GET", "/images/registry:5000/a/b:c/json")).toBe("/images/:name/json registry:5000/a/b:c");
  expect(found("GET", "/images/json/json")).toBe("/images/:name/json json");
  expect(found("DELETE", "/images/a/b@sha256:00")).toBe("/images/:name a/b@sha256:00");
  expect(found("POST", "/containers//x/start")).toBe("/containers/:name/start /x");
  expect(found("DELETE", "/containers/a/checkpoints/b")).toBe("/containers/:name/checkpoints/:id a b");
  expect(found("DELETE", "/containers/checkpoints/b")).toBe("/containers/:name checkpoints/b");
  for (const [method, path] of [
    ["GET", "/containers/create"],
    ["POST", "/containers//start"],
    ["DELETE", "/images/"],
    ["GET", "/"],
    ["GET", ""],
    ["GET", "/images"],
  ] as const) {
    expect(found(method, path)).toBeUndefined();
  }
});
