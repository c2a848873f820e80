/** `-H ssh://…`: an `ssh` on the PATH that runs, as sshd does, what it is asked for with the login's shell. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createClient } from "../../../src/sdk/mod.ts";
import { Daemon, type Finished } from "../daemon.ts";

const LAUNCHER = join(import.meta.dir, "../../../dhow");
const SSH = `#!/bin/sh
printf '%s\\n' "$*" >>"$SSH_LOG"
while [ "$1" != -- ]; do shift; done
shift
[ "$1" = nowhere ] && { echo "ssh: connect to host nowhere port 22: Connection refused" >&2; exit 255; }
shift
exec sh -c "$*"
`;

let daemon: Daemon;
let bin: string;
let log: string;

beforeAll(async () => {
  daemon = await Daemon.start();
  bin = join(daemon.dir, "bin");
  log = join(daemon.dir, "ssh.log");
  mkdirSync(bin);
  writeFileSync(join(bin, "ssh"), SSH);
  chmodSync(join(bin, "ssh"), 0o755);
  symlinkSync(LAUNCHER, join(bin, "dhow"));
});
afterAll(() => daemon[Symbol.asyncDispose]());

function env(): Record<string, string> {
  return { PATH: `${bin}:${process.env["PATH"]}`, SSH_LOG: log, DOCKER_HOST: "" };
}

/** dhow's own command line, at the daemon by way of ssh. */
function dhow(stdin: Uint8Array<ArrayBuffer> | string, ...args: readonly string[]): Promise<Finished> {
  return daemon.dockerWith({ cli: LAUNCHER, stdin, env: env() }, "-H", `ssh://me@box:2222${daemon.socket}`, ...args);
}

test("-H ssh:// runs system dial-stdio over there", async () => {
  rmSync(log, { force: true });
  expect(await dhow("", "version", "--format", "{{.Server.Os}}")).toEqual({ stdout: "linux\n", stderr: "", exitCode: 0 });
  const lines = readFileSync(log, "utf8").trim().split("\n");
  // the answer to the ping and that to the question came over one connection
  expect(lines).toHaveLength(1);
  expect(lines[0]).toStartWith("-l me -p 2222 -o ConnectTimeout=30 -T -- box sh -c ");
  expect(lines[0]).toContain(`exec dhow --host unix://${daemon.socket} system dial-stdio`);
});

test("stdin's end reaches a container over ssh, and all of the output comes back", async () => {
  const input = Buffer.alloc(3_000_000, 120);
  const { stdout, stderr, exitCode } = await dhow(new Uint8Array(input), "run", "-i", "--rm", "busybox", "sh", "-c", "cat; exit 7");
  expect({ length: stdout.length, stderr, exitCode }).toEqual({ length: input.length, stderr: "", exitCode: 7 });
});

test("nothing is left running of the connections", async () => {
  const running = Bun.spawnSync(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"]).stdout.toString();
  expect(running).not.toContain(`unix://${daemon.socket} system dial-stdio`);
});

test("a failing ssh is told with what it said", async () => {
  const { stderr, exitCode } = await daemon.dockerWith({ cli: LAUNCHER, env: env() }, "-H", "ssh://nowhere", "ps");
  expect(exitCode).toBe(1);
  expect(stderr).toStartWith("error during connect: command [ssh -o ConnectTimeout=30 -T -- nowhere ");
  expect(stderr).toContain("has exited with exit status 255");
  expect(stderr).toContain("stderr=ssh: connect to host nowhere port 22: Connection refused");
});

test("the SDK reaches an engine by ssh, too", async () => {
  const before = process.env["PATH"];
  process.env["PATH"] = `${bin}:${before}`;
  process.env["SSH_LOG"] = log;
  const client = createClient({ host: `ssh://box${daemon.socket}` });
  try {
    expect((await client.ping()).osType).toBe("linux");
    expect(existsSync(log)).toBe(true);
  } finally {
    client.close();
    process.env["PATH"] = before;
    delete process.env["SSH_LOG"];
  }
});
