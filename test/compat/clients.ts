/**
 * The programs that people point at a Docker socket, in the versions that the lock files beside this file pin, installed under .dhow/
 * at the first use.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

const LOCKS = join(import.meta.dir, "clients");
const CHECKOUT = join(import.meta.dir, "../..");
const PATIENCE_MS = 180_000;

/** Where the clients are, or why they can't be had here. */
export type Installed = { readonly dir: string } | { readonly skipReason: string };

interface Install {
  /** Directory below .dhow/. */
  readonly name: string;
  /** Files of `clients/` that say what to install; a change of the last makes a new installation. */
  readonly files: readonly string[];
  /** Installs into the working directory. */
  readonly command: readonly string[];
}

function isSame(a: string, b: string): boolean {
  return existsSync(b) && readFileSync(a).equals(readFileSync(b));
}

function install({ name, files, command }: Install): Installed {
  const dir = join(CHECKOUT, ".dhow", name);
  const lock = files.at(-1) ?? "";
  if (isSame(join(LOCKS, lock), join(dir, lock))) return { dir };
  const draft = `${dir}.${process.pid}`;
  mkdirSync(draft, { recursive: true });
  try {
    for (const file of files) copyFileSync(join(LOCKS, file), join(draft, file));
    const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd: draft, stdin: "ignore", timeout: PATIENCE_MS });
    if (exitCode !== 0) {
      const said = `${stdout}${stderr}`.trim().split("\n").at(-1) ?? "";
      return { skipReason: `${command.slice(0, 2).join(" ")} failed: ${said.slice(0, 200)}` };
    }
    rmSync(dir, { recursive: true, force: true });
    renameSync(draft, dir);
    return { dir };
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

/** The npm packages of `clients/package-lock.json`, below `node_modules`. */
export function npmClients(): Installed {
  if (Bun.which("npm") === null) return { skipReason: "finds no npm" };
  const command = ["npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit", "--fetch-retries=1"];
  return install({ name: "clients", files: ["package.json", "package-lock.json"], command });
}
