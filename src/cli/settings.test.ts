import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listFormat, orSetting, proxyVariables, pruneFilters } from "./settings.ts";

const dir = mkdtempSync(join(tmpdir(), "dhow-settings-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const set = (config: object): { readonly configDir: string } => {
  writeFileSync(join(dir, "config.json"), JSON.stringify(config));
  return { configDir: dir };
};

test("a flag counts before the user's own setting, and --quiet shows no format but a given one", () => {
  const where = set({ psFormat: "{{.ID}}!", detachKeys: "ctrl-a", imagesFormat: 5 });
  expect(orSetting(where, "detachKeys", "")).toBe("ctrl-a");
  expect(orSetting(where, "detachKeys", "ctrl-b")).toBe("ctrl-b");
  expect(orSetting(where, "imagesFormat", "")).toBe("");
  expect(listFormat(where, "psFormat", { format: "", quiet: false })).toBe("{{.ID}}!");
  expect(listFormat(where, "psFormat", { format: "", quiet: true })).toBe("");
  expect(listFormat({ configDir: join(dir, "none") }, "psFormat", { format: "", quiet: false })).toBe("");
});

test("pruneFilters() adds the user's own, but for the opposite of a given one", () => {
  const where = set({ pruneFilters: ["label!=keep", "label=a=b", "until=1h", "nonsense"] });
  expect(pruneFilters(where, {})).toEqual({ "label!": ["keep"], label: ["a=b"], until: ["1h"] });
  expect(pruneFilters(where, { label: ["keep", "x"] })).toEqual({ label: ["keep", "x", "a=b"], until: ["1h"] });
  expect(pruneFilters(where, { "label!": ["a=b"] })).toEqual({ "label!": ["a=b", "keep"], until: ["1h"] });
  expect(pruneFilters(set({}), { label: ["x"] })).toEqual({ label: ["x"] });
});

test("proxyVariables() are those of the engine's host, else the default's, in both spellings", () => {
  const where = set({
    proxies: { default: { httpProxy: "http://p", noProxy: "x,y", ftpProxy: "" }, "tcp://far:2376": { allProxy: "socks5://q" } },
  });
  const of = (host: string, given: readonly string[] = []): readonly string[] => {
    const source = { flags: { host: [host], context: "" }, changed: new Set<string>(), env: {}, configDir: dir, warn: () => {} };
    return proxyVariables({ ...where, endpointSource: source }, given);
  };
  expect(of("unix:///x")).toEqual(["HTTP_PROXY=http://p", "http_proxy=http://p", "NO_PROXY=x,y", "no_proxy=x,y"]);
  expect(of("unix:///x", ["HTTP_PROXY=mine", "no_proxy"])).toEqual(["http_proxy=http://p", "NO_PROXY=x,y"]);
  expect(of("tcp://far:2376")).toEqual(["ALL_PROXY=socks5://q", "all_proxy=socks5://q"]);
});
