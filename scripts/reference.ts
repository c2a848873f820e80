/** Writes the manual (`man/man1/*.1`), the reference (`reference/*.md`) and the shells' completions below a directory: `dist` by default. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { completionScript, SHELLS } from "../src/cli/completion/scripts.ts";
import { manName, manPage } from "../src/cli/reference/man.ts";
import { markdownPage } from "../src/cli/reference/markdown.ts";
import { pages } from "../src/cli/reference/page.ts";

const target = process.argv[2] ?? join(import.meta.dir, "../dist");

function directory(...names: readonly string[]): string {
  const path = join(target, ...names);
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  return path;
}

const man = directory("man", "man1");
const reference = directory("reference");
const completions = directory("completions");
const all = await pages();
for (const page of all) {
  writeFileSync(join(man, `${manName(page.path)}.1`), manPage(page));
  writeFileSync(join(reference, `${manName(page.path)}.md`), markdownPage(page));
}
const FILE_NAMES = { bash: "dhow", zsh: "_dhow", fish: "dhow.fish" } as const;
for (const shell of SHELLS) {
  mkdirSync(join(completions, shell));
  writeFileSync(join(completions, shell, FILE_NAMES[shell]), completionScript(shell, "dhow"));
}
console.log(`${all.length} pages of the manual and of the reference in ${target}`);
