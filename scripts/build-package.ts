/**
 * Makes the npm package `dhow` in dist/npm: what src/index.ts and src/embed.ts reach, as ES modules with their types, for Bun, Node.js
 * and Deno. `npm pack dist/npm` makes its archive.
 *
 * Argument: `--out=<directory>` instead of dist/npm.
 */
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { VERSION } from "../src/lib/mod.ts";

const ROOT = join(import.meta.dir, "..");
const SOURCE = join(ROOT, "packaging", "npm");
/** A module's name at the end of a declaration's import: TypeScript rewrites it in code only. */
const TYPE_IMPORT = /(\bfrom |\bimport\()"(\.[^"]*)\.ts"/g;

function compile(out: string): void {
  const command = [join(ROOT, "node_modules/.bin/tsc"), "-p", join(SOURCE, "tsconfig.json"), "--outDir", join(out, "lib")];
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stdin: "ignore" });
  if (exitCode !== 0) throw new Error(`run ${command.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
  for (const file of new Bun.Glob("lib/**/*.d.ts").scanSync({ cwd: out, absolute: true })) {
    writeFileSync(file, readFileSync(file, "utf8").replaceAll(TYPE_IMPORT, '$1"$2.js"'));
  }
}

const word = process.argv.slice(2).find((argument) => argument.startsWith("--out="));
const out = resolve(word?.slice("--out=".length) ?? join(ROOT, "dist", "npm"));
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
compile(out);
const manifest: Record<string, unknown> = JSON.parse(readFileSync(join(SOURCE, "package.json"), "utf8"));
writeFileSync(join(out, "package.json"), `${JSON.stringify({ ...manifest, version: VERSION }, null, 2)}\n`);
copyFileSync(join(SOURCE, "README.md"), join(out, "README.md"));
copyFileSync(join(ROOT, "LICENSE"), join(out, "LICENSE"));
console.log(out);
