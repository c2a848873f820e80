/**
 * Runs the checks and the tests, and sums them up: types, lint, then every test file in a Bun process of its own, so that a crash,
 * a leaked descriptor or a changed namespace of one file is never another's failure. The last line is the sum:
 * `N passed, N failed, N skipped`. Output of a file is shown when it fails; every skipped test is named with its reason.
 *
 * Arguments: words; only the test files whose path contains one of them are run, and neither types nor lint.
 */
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
/** How many times slower than usual this machine may be: a number for one whose processor is emulated. */
const PATIENCE = Number(process.env["DHOW_TEST_PATIENCE"] ?? 1);
/** A file that takes longer hangs. */
const FILE_TIMEOUT_MS = 400_000 * PATIENCE;
const TEST_TIMEOUT_MS = 60_000 * PATIENCE;

interface Outcome {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: readonly string[];
  /** What to show of it. */
  readonly output: string;
}

interface Finished {
  readonly exitCode: number;
  readonly output: string;
  readonly isTimedOut: boolean;
}

async function run(command: readonly string[], scratch: string): Promise<Finished> {
  // Into a file: a process that a test left behind would hold a pipe open, and us with it.
  const path = join(scratch, "output");
  const output = openSync(path, "w");
  try {
    // `timeout` ends the whole process group.
    const child = Bun.spawn(["timeout", "--kill-after=5", String(FILE_TIMEOUT_MS / 1000), ...command], {
      stdio: ["ignore", output, output],
      cwd: ROOT,
    });
    const exitCode = await child.exited;
    return { exitCode, output: readFileSync(path, "utf8"), isTimedOut: exitCode === 124 || exitCode === 137 };
  } finally {
    closeSync(output);
  }
}

async function check(command: readonly string[], scratch: string): Promise<Outcome> {
  const { exitCode, output } = await run(command, scratch);
  return { passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1, skipped: [], output };
}

function attribute(tag: string, name: string): string {
  const text = new RegExp(` ${name}="([^"]*)"`).exec(tag)?.[1] ?? "";
  return text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&apos;", "'").replaceAll("&amp;", "&");
}

/** Where crun can run: on a host with both cgroup versions, a mount namespace in which one of them is out of sight. */
const WITHOUT_UNIFIED = ["unshare", "-m", "--propagation", "private", "sh", "-c", 'umount /sys/fs/cgroup/unified; exec "$@"', "sh"];
const isHybrid = existsSync("/sys/fs/cgroup/unified/cgroup.controllers");

/** Reads the sums and the names of the skipped tests from a JUnit report. */
function readReport(xml: string): { readonly tests: number; readonly failed: number; readonly skipped: readonly string[] } {
  const sums = /<testsuites [^>]*>/.exec(xml)?.[0] ?? "";
  const skipped = [...xml.matchAll(/<testcase ([^>]*[^/])>\s*<skipped/g)].map((match) => {
    const tag = ` ${match[1] ?? ""}`;
    return [attribute(tag, "classname"), attribute(tag, "name")].filter((part) => part !== "").join(" > ");
  });
  return { tests: Number(attribute(sums, "tests")), failed: Number(attribute(sums, "failures")), skipped };
}

async function runFile(file: string, scratch: string): Promise<Outcome> {
  const report = join(scratch, "report.xml");
  rmSync(report, { force: true });
  const reporter = ["--reporter=junit", `--reporter-outfile=${report}`];
  const wantsCrun = readFileSync(join(ROOT, file), "utf8").includes("describeWithCrun(");
  const place = wantsCrun && isHybrid ? WITHOUT_UNIFIED : [];
  const command = [...place, process.execPath, "test", "--only-failures", `--timeout=${TEST_TIMEOUT_MS}`, ...reporter, `./${file}`];
  const { exitCode, output, isTimedOut } = await run(command, scratch);
  let xml: string;
  try {
    xml = readFileSync(report, "utf8");
  } catch {
    const why = isTimedOut ? `did not end within ${FILE_TIMEOUT_MS / 1000} s` : `ended with code ${exitCode} and no report`;
    return { passed: 0, failed: 1, skipped: [], output: `${output}\n${file} ${why}` };
  }
  const { tests, failed, skipped } = readReport(xml);
  // An error outside of any test ends the process with a code, but counts nowhere in the report.
  const isFailedOutside = exitCode !== 0 && failed === 0;
  return { passed: tests - failed - skipped.length, failed: failed + (isFailedOutside ? 1 : 0), skipped, output };
}

/**
 * A file that fails is run once more, for a machine that was busy elsewhere: both outputs are shown, and its name is in a list at the end.
 * What fails twice has failed.
 */
async function runTwice(file: string, scratch: string, unsteady: string[]): Promise<Outcome> {
  const first = await runFile(file, scratch);
  if (first.failed === 0) return first;
  console.log(`${first.output.trimEnd()}\n     ${file}: ${first.failed} failed, once more`);
  const second = await runFile(file, scratch);
  if (second.failed === 0) unsteady.push(file);
  return second;
}

async function testFiles(words: readonly string[]): Promise<readonly string[]> {
  const found: string[] = [];
  for (const pattern of ["src/**/*.test.ts", "test/**/*.test.ts", "bench/**/*.test.ts"]) {
    for await (const file of new Bun.Glob(pattern).scan({ cwd: ROOT })) found.push(file);
  }
  // src before test: what a room promises, before what is built on it.
  return found.filter((file) => words.length === 0 || words.some((word) => file.includes(word))).sort();
}

async function main(words: readonly string[]): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), "dhow-test-"));
  let [passed, failed] = [0, 0];
  const skipped: string[] = [];
  const unsteady: string[] = [];
  const report = async (name: string, work: () => Promise<Outcome>): Promise<void> => {
    const startedAt = performance.now();
    const outcome = await work();
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
    passed += outcome.passed;
    failed += outcome.failed;
    skipped.push(...outcome.skipped.map((test) => `${name}: ${test}`));
    if (outcome.failed > 0) console.log(outcome.output.trimEnd());
    const counts = [`${outcome.passed} passed`];
    if (outcome.failed > 0) counts.push(`${outcome.failed} failed`);
    if (outcome.skipped.length > 0) counts.push(`${outcome.skipped.length} skipped`);
    console.log(`${outcome.failed > 0 ? "FAIL" : "ok  "} ${name}: ${counts.join(", ")} (${seconds} s)`);
  };
  try {
    if (words.length === 0) {
      await report("types", () => check(["node_modules/.bin/tsc", "--noEmit"], scratch));
      await report("lint and format", () => check(["node_modules/.bin/biome", "check", "--max-diagnostics=50", "."], scratch));
    }
    for (const file of await testFiles(words)) await report(file, () => runTwice(file, scratch, unsteady));
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  if (skipped.length > 0) console.log(`\nskipped:\n${skipped.map((test) => `  ${test}`).join("\n")}`);
  if (unsteady.length > 0) console.log(`\npassed the second time only:\n${unsteady.map((file) => `  ${file}`).join("\n")}`);
  console.log(`\n${passed} passed, ${failed} failed, ${skipped.length} skipped`);
  return failed === 0 ? 0 : 1;
}

process.exit(await main(process.argv.slice(2)));
