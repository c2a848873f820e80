/**
 * Runs commands with docker's own command line and with ours against one engine and compares output and exit code.
 * In a command `%` stands for a letter, `%1` for a number, that is another for each of the two: each works on objects of its own.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, dockerCli } from "../e2e/daemon.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const OURS = [process.execPath, "--no-env-file", "--config=/dev/null", MAIN];
/** The release whose words ours are. */
const RELEASE = "28.";

const isReference = Bun.spawnSync([dockerCli, "--version"]).stdout.toString().includes(` ${RELEASE}`);
const skipReason = process.getuid?.() !== 0 ? "needs root" : isReference ? "" : `the docker command line here isn't ${RELEASE}x`;

interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

let daemon: Daemon;

beforeAll(async () => {
  if (skipReason === "") daemon = await Daemon.start();
});

afterAll(async () => {
  if (skipReason === "") await daemon[Symbol.asyncDispose]();
});

/** Splits at spaces, outside of single quotes. */
function words(line: string): readonly string[] {
  return [...line.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? "");
}

/** What differs between two runs of the same command. */
function masked(text: string, letter: string): string {
  return text
    .replaceAll(`cmp-${letter}`, "cmp-%")
    .replaceAll(/\b[0-9a-f]{64}\b/g, "<id>")
    .replaceAll(/\b[0-9a-f]{12}\b/g, "<short-id>")
    .replaceAll(/\b[0-9a-f]{14}…/g, "<short-id>…")
    .replaceAll(/(\d+|About an?|Less than a) (seconds?|minutes?)/g, "<time>")
    .replaceAll(/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?/g, "<date>")
    .replaceAll(/\b1[78]\d{8}(\d{9})?\b/g, "<unix>")
    .replaceAll(/172\.\d+\.\d+\.\d+|10\.\d+\.\d+\.\d+/g, "<address>")
    .replaceAll(/(->|:|\{\S+ )(3[2-9]|[4-6]\d)\d{3}\b/g, "$1<port>")
    .replaceAll(/"Pid": ?\d+|\/proc\/\d+\//g, "<process>")
    .replaceAll(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, "<mac>")
    .replaceAll(/"HostPort": ?"\d+"/g, '"HostPort": "<port>"')
    .replaceAll(/ +/g, " ");
}

async function run(command: readonly string[], line: string, letter: string): Promise<Outcome> {
  const env = { ...process.env, DOCKER_HOST: `unix://${daemon.socket}`, DHOW_ARGV0: "docker" };
  const args = words(line.replaceAll("%1", String(letter.charCodeAt(0))).replaceAll("%", letter));
  const child = Bun.spawn([...command, ...args], { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { exitCode, stdout: masked(stdout, letter), stderr: masked(stderr, letter) };
}

const commands = readFileSync(join(import.meta.dir, "testdata/commands.txt"), "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));

if (skipReason === "") {
  test("our command line reads stdin to its end", async () => {
    const env = { ...process.env, DOCKER_HOST: `unix://${daemon.socket}`, DHOW_ARGV0: "docker" };
    // through a pipe: more than it holds
    const line = 'i=0; while [ $i -lt 8 ]; do seq 1 50000 | "$@" run --rm -i busybox wc -c; i=$((i+1)); done';
    const child = Bun.spawn(["sh", "-c", line, "sh", ...OURS], { env, stdin: "ignore", stdout: "pipe" });
    expect(await child.stdout.text()).toBe("288894\n".repeat(8));
  });
}

if (skipReason === "") {
  test("our command line gives up at the third signal, as docker's does", async () => {
    const outcomes = [];
    for (const command of [[dockerCli], OURS]) {
      const env = { ...process.env, DOCKER_HOST: `unix://${daemon.socket}`, DHOW_ARGV0: "docker" };
      const script = "trap '' INT; echo up; exec sleep 1000";
      const args = ["run", "--rm", "--name", "deaf", "busybox", "sh", "-c", script];
      const child = Bun.spawn([...command, ...args], { env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      await child.stdout.getReader().read();
      for (let i = 0; i < 3; i++) {
        child.kill("SIGINT");
        // signals of a kind that come together are one
        await Bun.sleep(100);
      }
      outcomes.push([await child.exited, await child.stderr.text()]);
      await daemon.docker("rm", "-f", "deaf");
    }
    expect(outcomes[1]).toEqual(outcomes[0]);
    expect(outcomes[1]?.[0]).toBe(1);
  });
}

if (skipReason !== "") test.skip(`docker's command line and ours agree (${skipReason})`, () => {});
else {
  for (const line of commands) {
    test(`docker ${line}`, async () => {
      const theirs = await run([dockerCli], line, "a");
      const ours = await run(OURS, line, "b");
      expect(ours).toEqual(theirs);
    });
  }
}
