/**
 * The programs that people point at a Docker socket, in the versions that the lock files beside this file pin, installed under .dhow/
 * at the first use.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
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

/** Debian's own Python clients and what they need, unpacked without being installed; `PYTHONPATH` for them is `pythonPath`. */
export function debianClients(): Installed {
  if (Bun.which("apt-get") === null) return { skipReason: "finds no apt-get" };
  if (!existsSync("/usr/bin/python3")) return { skipReason: "finds no /usr/bin/python3" };
  const unpack = `
    xargs apt-get -q -o APT::Sandbox::User=root download <debian.txt
    for deb in *.deb; do dpkg-deb -x $deb .; done
    rm *.deb
    # the interpreter's own packages have two files of it
    for dir in usr/lib/python3.*/distutils; do cp -n /$dir/*.py $dir; done`;
  return install({ name: "clients-debian", files: ["debian.txt"], command: ["sh", "-ec", unpack] });
}

/** Where the modules of Debian's packages are, and those of the standard library that Debian has in packages of their own. */
export function pythonPath(dir: string): string {
  const lib = join(dir, "usr/lib");
  const versions = readdirSync(lib).filter((name) => /^python3\.\d+$/.test(name));
  return ["python3/dist-packages", ...versions].map((name) => join(lib, name)).join(":");
}

/** The packages of `clients/requirements.txt`, installed by Debian's pip into `site`. */
export function pypiClients(): Installed {
  const debian = debianClients();
  if ("skipReason" in debian) return debian;
  const pip = ["env", `PYTHONPATH=${pythonPath(debian.dir)}`, "/usr/bin/python3", "-m", "pip", "--disable-pip-version-check"];
  const options = ["--quiet", "--target", "site", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--retries", "1"];
  return install({ name: "clients-pypi", files: ["requirements.txt"], command: [...pip, "install", ...options, "-r", "requirements.txt"] });
}

/** Docker compose v2 or later, which has no package to be had everywhere: a program, where somebody has installed or built it. */
export function dockerCompose(): { readonly program: string } | { readonly skipReason: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync(["sh", join(CHECKOUT, "scripts/docker-compose.sh")]);
  return exitCode === 0 ? { program: stdout.toString().trim() } : { skipReason: stderr.toString().trim() };
}
