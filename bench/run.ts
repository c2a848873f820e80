/**
 * Measures dhow beside Debian's dockerd on this machine and prints the table of docs/performance.md as Markdown.
 *
 *   npm run bench                          every row
 *   npm run bench -- --only run,exec       rows by their keys; an unknown one lists them
 *   npm run bench -- -n 21                 samples per row and engine, where the row leaves it open (11)
 *   npm run bench -- --json out.json       every sample, too
 *   npm run bench -- --binary path         another dhow than dist/dhow, which is built when it is older than the sources
 *
 * Both engines get their own roots, socket, bridge and cgroups; nothing of them is left at the end, nor after a failure or Ctrl-C.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startDhow, startDockerd } from "./daemons.ts";
import { Docker } from "./engine.ts";
import { provideImages } from "./images.ts";
import { describeCommit, describeMachine, describeNeighbours } from "./machine.ts";
import { type Bench, measure } from "./measure.ts";
import { rows } from "./rows/mod.ts";
import { type Result, renderTable } from "./statistics.ts";

const ROOT = join(import.meta.dir, "..");

const progress = (text: string): void => void process.stderr.write(text);

function must(command: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command], { cwd: ROOT });
  if (exitCode !== 0) throw new Error(`run ${command.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
  return stdout.toString().trim();
}

/** dist/dhow, newer than every source file. */
function compiled(): string {
  const binary = join(ROOT, "dist", "dhow");
  const built = statSync(binary, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).filter((name) => !name.endsWith(".test.ts"));
  if (sources.some((name) => statSync(join(ROOT, "src", name)).mtimeMs > built)) {
    progress("building dist/dhow\n");
    must([process.execPath, "--no-env-file", "--config=/dev/null", "scripts/build.ts", process.arch]);
  }
  return binary;
}

interface Options {
  readonly only: readonly string[];
  readonly rounds: number;
  readonly json: string | undefined;
  readonly binary: string | undefined;
}

/** @throws when a flag or a row is unknown */
function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      only: { type: "string", default: "" },
      n: { type: "string", short: "n", default: "11" },
      json: { type: "string" },
      binary: { type: "string" },
    },
  });
  const only = values.only.split(",").filter(Boolean);
  const unknown = only.filter((key) => !rows.some((row) => row.key === key));
  if (unknown.length > 0) throw new Error(`unknown row ${unknown.join(", ")}: there are ${rows.map((row) => row.key).join(", ")}`);
  const rounds = Number(values.n);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`read -n: found "${values.n}", want a number from 1`);
  return { only, rounds, json: values.json, binary: values.binary };
}

async function runBench(options: Options, stack: AsyncDisposableStack, signal: AbortSignal): Promise<void> {
  const binary = options.binary ?? compiled();
  const dir = mkdtempSync(join(tmpdir(), "dhow-bench-"));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const docker = new Docker(join(must(["sh", join(ROOT, "scripts/docker-cli.sh")]), "docker"), join(dir, "docker-config"));
  const dockerd = stack.use(await startDockerd(join(dir, "dockerd"), docker));
  const dhow = stack.use(await startDhow(binary, join(dir, "dhow"), docker));
  const archives = provideImages(docker, { dhow, dockerd }, join(ROOT, ".dhow", "bench"), progress);
  const scratch = join(dir, "scratch");
  mkdirSync(scratch);
  const sleep = (ms: number): Promise<void> => setTimeout(ms, undefined, { signal });
  const bench: Bench = { docker, dhow, dockerd, binary, scratch, archives, rounds: options.rounds, progress, signal, sleep };
  const subject = options.binary ?? describeCommit(ROOT);
  const neighbours = describeNeighbours(dockerd);
  const results: Result[] = [];
  for (const row of rows) {
    if (options.only.length > 0 && !options.only.includes(row.key)) continue;
    progress(`${row.key} …\n`);
    results.push(...(await measure(bench, row)));
  }
  process.stdout.write(`${describeMachine(docker, dockerd, subject)}\n- ${neighbours}\n\n${renderTable(results)}\n`);
  if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`);
}

async function main(): Promise<number> {
  if (process.getuid?.() !== 0) throw new Error("must be root, as both daemons are");
  const options = readOptions();
  const stack = new AsyncDisposableStack();
  const stop = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort(new Error(`${name}, cleaning up`)));
  try {
    await runBench(options, stack, stop.signal);
    return 0;
  } finally {
    await stack.disposeAsync();
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  progress(`bench: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = 1;
}
