/**
 * Compiles dhow into one executable per architecture: dist/dhow for this machine's, dist/dhow-<arch> for another. They need neither
 * Node nor the checkout. The Bun of another architecture comes from its npm package, checked against package-lock.json.
 *
 * Arguments: `--out=<directory>` instead of dist, and architectures (x64, arm64); without any, both.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const CACHE = join(ROOT, ".dhow", "cache");
/** npm's word for each architecture. */
const PACKAGES: Readonly<Record<string, string>> = { x64: "@oven/bun-linux-x64", arm64: "@oven/bun-linux-aarch64" };

/**
 * Bytecode saves the parsing at every start (40 % of the start-up time of the command line), splitting saves the loading of what a
 * call doesn't use. The user's directory may hold an .env or a bunfig.toml: they are not meant for dhow.
 */
const FLAGS = ["--compile", "--minify", "--bytecode", "--splitting", "--format=esm", "--sourcemap=none"];
const ISOLATION = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"];

function run(command: readonly string[], cwd = ROOT): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd, stdin: "ignore" });
  if (exitCode !== 0) throw new Error(`run ${command.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
  return stdout.toString();
}

/** The pinned Bun for `arch`, out of the npm package. */
function fetchBun(arch: string): string {
  const name = PACKAGES[arch];
  if (name === undefined) throw new Error(`build for "${arch}": want one of ${Object.keys(PACKAGES).join(", ")}`);
  const lock: { packages: Record<string, { version: string; integrity: string }> } = JSON.parse(
    readFileSync(join(ROOT, "package-lock.json"), "utf8"),
  );
  const pinned = lock.packages[`node_modules/${name}`];
  if (pinned === undefined) throw new Error(`find ${name} in package-lock.json: not there`);
  const binary = join(CACHE, `bun-${pinned.version}-${arch}`);
  if (statSync(binary, { throwIfNoEntry: false }) !== undefined) return binary;

  mkdirSync(CACHE, { recursive: true });
  console.log(`fetching ${name} ${pinned.version} from npm`);
  const archive = join(CACHE, run(["npm", "pack", "--silent", `${name}@${pinned.version}`], CACHE).trim());
  try {
    const digest = `sha512-${createHash("sha512").update(readFileSync(archive)).digest("base64")}`;
    if (digest !== pinned.integrity) throw new Error(`check ${archive}: found ${digest}, want ${pinned.integrity}`);
    const { exitCode, stdout } = Bun.spawnSync(["tar", "-xzOf", archive, "package/bin/bun"]);
    if (exitCode !== 0) throw new Error(`unpack ${archive}: exit code ${exitCode}`);
    writeFileSync(`${binary}.tmp`, stdout, { mode: 0o755 });
    renameSync(`${binary}.tmp`, binary);
  } finally {
    rmSync(archive, { force: true });
  }
  return binary;
}

function build(arch: string, directory: string): void {
  const name = arch === process.arch ? "dhow" : `dhow-${arch}`;
  const output = join(directory, name);
  const target = arch === process.arch ? [] : [`--target=bun-linux-${arch}`, `--compile-executable-path=${fetchBun(arch)}`];
  run([process.execPath, "build", ...FLAGS, ...ISOLATION, ...target, "src/main.ts", `--outfile=${output}`]);
  console.log(`${output}: ${(statSync(output).size / 1e6).toFixed(0)} MB`);
}

const words = process.argv.slice(2);
const directory = words.find((word) => word.startsWith("--out="))?.slice("--out=".length) ?? join(ROOT, "dist");
const wanted = words.filter((word) => !word.startsWith("--"));
mkdirSync(directory, { recursive: true });
for (const arch of wanted.length > 0 ? wanted : Object.keys(PACKAGES)) build(arch, directory);
console.log(run([process.execPath, join(ROOT, "scripts/reference.ts"), directory]).trimEnd());
