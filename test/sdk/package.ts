/** The npm package as its users have it: built, packed, and installed from its archive into a directory of their own. */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const CHECKOUT = join(import.meta.dir, "../..");

/** A project that uses the package. */
export interface Project extends Disposable {
  readonly dir: string;
  /** Paths in the archive. */
  readonly files: readonly string[];
}

/** Runs a command to its end. @throws when it fails */
export function run(command: readonly string[], cwd: string): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd, stdin: "ignore" });
  if (exitCode !== 0) throw new Error(`run ${command.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
  return stdout.toString();
}

/** A project with the package and the examples in it, without asking a registry. */
export function makeProject(): Project {
  const dir = mkdtempSync(join(tmpdir(), "dhow-package-"));
  const dispose = (): void => rmSync(dir, { recursive: true, force: true });
  try {
    run([process.execPath, join(CHECKOUT, "scripts/build-package.ts"), `--out=${join(dir, "built")}`], CHECKOUT);
    const [packed] = JSON.parse(run(["npm", "pack", "--json", "--silent", join(dir, "built")], dir));
    writeFileSync(join(dir, "package.json"), '{ "name": "a-project", "private": true, "type": "module" }\n');
    const { dependencies } = JSON.parse(readFileSync(join(dir, "built/package.json"), "utf8"));
    const archives = Object.keys(dependencies).map((name) => {
      const [library] = JSON.parse(run(["npm", "pack", "--json", "--silent", join(CHECKOUT, "node_modules", name)], dir));
      return join(dir, library.filename);
    });
    run(["npm", "install", "--offline", "--no-fund", "--no-audit", join(dir, packed.filename), ...archives], dir);
    mkdirSync(join(dir, "examples"));
    const examples = join(CHECKOUT, "examples");
    for (const name of readdirSync(examples)) copyFileSync(join(examples, name), join(dir, "examples", name));
    const files = packed.files.map((file: { readonly path: string }) => file.path);
    return { dir, files, [Symbol.dispose]: dispose };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** Compiler options of a careful user. */
export interface Consumer {
  readonly lib: readonly string[];
  readonly types: readonly string[];
}

/** Checks the types of `files` (and those of the package), and compiles them to `out/` for the oldest Node.js. @throws with what tsc says */
export function compile(project: Project, files: readonly string[], { lib, types }: Consumer): void {
  const compilerOptions = {
    target: "ES2022",
    lib,
    types,
    typeRoots: [join(CHECKOUT, "node_modules/@types")],
    module: "NodeNext",
    strict: true,
    exactOptionalPropertyTypes: true,
    skipLibCheck: false,
    rootDir: ".",
    outDir: "out",
  };
  writeFileSync(join(project.dir, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
  run([join(CHECKOUT, "node_modules/.bin/tsc"), "-p", project.dir], project.dir);
}
