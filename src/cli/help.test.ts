/** The help of every command against files: `UPDATE_GOLDEN=1 bun test src/cli/help.test.ts` writes them anew. */
import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commandHelp } from "./help.ts";
import { COMMANDS, GROUPS, SUBCOMMANDS } from "./registry.ts";

const GOLDEN = join(import.meta.dir, "../../test/golden/help");
const COLUMNS = 79;

function checkGolden(name: string, text: string): void {
  const path = join(GOLDEN, `${name}.txt`);
  if (process.env["UPDATE_GOLDEN"] === "1") {
    mkdirSync(GOLDEN, { recursive: true });
    writeFileSync(path, text);
  }
  expect(text).toBe(readFileSync(path, "utf8"));
}

for (const [name, load] of Object.entries(COMMANDS)) {
  test(`dhow ${name} --help`, async () => checkGolden(name, commandHelp("docker", name, await load(), COLUMNS)));
}
for (const [name, load] of Object.entries(SUBCOMMANDS)) {
  test(`dhow ${name} --help`, async () => checkGolden(name.replace(" ", "-"), commandHelp("dhow", name, await load(), COLUMNS)));
}
for (const [group, { commands, isOwn }] of Object.entries(GROUPS)) {
  for (const [verb, load] of Object.entries(commands)) {
    test(`dhow ${group} ${verb} --help`, async () => {
      checkGolden(`${group}-${verb}`, commandHelp(isOwn ? "dhow" : "docker", `${group} ${verb}`, await load(), COLUMNS));
    });
  }
}
