import { expect, test } from "bun:test";
import { manName, manPage } from "./man.ts";
import { markdownPage } from "./markdown.ts";
import { pages } from "./page.ts";

const all = await pages();
const page = (path: string) => {
  const found = all.find((one) => one.path === path);
  if (found === undefined) throw new Error(`no page for ${path}`);
  return found;
};

test("there is a page for the program, each group and each command that is shown", () => {
  const paths = all.map(({ path }) => path);
  expect(paths).toContain("");
  for (const path of ["run", "container", "container run", "volume create", "lease run", "why"]) expect(paths).toContain(path);
  expect(paths).not.toContain("__complete");
  expect(new Set(paths.map(manName)).size).toBe(paths.length);
});

test("manPage() is roff that names its options", () => {
  const text = manPage(page("volume create"));
  expect(text).toStartWith('.TH "DHOW-VOLUME-CREATE" "1"');
  expect(text).toContain(".SH SYNOPSIS\n\\fBdhow volume create\\fR [OPTIONS] [VOLUME]\n");
  expect(text).toContain(".TP\n\\fB\\-d, \\-\\-driver string\\fR\n");
});

test("every line of every manual is text or a known request", () => {
  for (const one of all) {
    for (const line of manPage(one).split("\n")) {
      if (line.startsWith("'")) throw new Error(`${one.path}: ${line}`);
      if (line.startsWith(".")) expect(line).toMatch(/^\.(TH|SH|TP|br)\b/);
    }
  }
});

test("markdownPage() links to pages that there are", () => {
  const names = new Set(all.map(({ path }) => `${manName(path)}.md`));
  for (const one of all) {
    for (const [, target = ""] of markdownPage(one).matchAll(/\]\(([^)]+\.md)\)/g)) expect(names).toContain(target);
  }
  expect(markdownPage(page("cp"))).toContain("dhow cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH\n");
});
