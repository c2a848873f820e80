/** docker-py of Debian 12 (5.0.3) and of PyPI, and Debian's docker-compose 1.29, unmodified. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon } from "../e2e/daemon.ts";
import { debianClients, type Installed, pypiClients, pythonPath } from "./clients.ts";

const PROGRAM = join(import.meta.dir, "clients/programs/docker_py.py");
const isRoot = process.getuid?.() === 0;
const debian: Installed = isRoot ? debianClients() : { skipReason: "needs root" };
const pypi: Installed = isRoot ? pypiClients() : { skipReason: "needs root" };
let daemon: Daemon;

beforeAll(async () => {
  if (isRoot) daemon = await Daemon.start();
});

afterAll(async () => {
  if (isRoot) await daemon[Symbol.asyncDispose]();
});

async function python(path: string, args: readonly string[], cwd = daemon.dir): Promise<string> {
  const env = { PATH: process.env["PATH"] ?? "", HOME: daemon.dir, LANG: "C.UTF-8", DOCKER_HOST: daemon.host, PYTHONPATH: path };
  const child = Bun.spawn(["timeout", "--kill-after=5", "100", "/usr/bin/python3", ...args], {
    cwd,
    env,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new Error(`${args.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
  return stdout;
}

describe.each([
  ["of Debian", debian, (dir: string) => pythonPath(dir)],
  ["of PyPI", pypi, (dir: string) => join(dir, "site")],
] as const)("docker-py %s", (_, installed, pathOf) => {
  const skipReason = "skipReason" in installed ? installed.skipReason : "";
  test.skipIf(skipReason !== "")(`does a day's work ${skipReason}`.trim(), async () => {
    const path = "dir" in installed ? pathOf(installed.dir) : "";
    const said = await python(path, [PROGRAM]);
    const steps = (await Bun.file(PROGRAM).text()).match(/^@step\(/gm)?.length;
    expect(said.match(/^ok /gm)?.length).toBe(steps);
    expect(await daemon.ok("ps", "-aq")).toBe("");
  });
});

const COMPOSE = `
version: "2.4"
services:
  web:
    image: busybox
    network_mode: bridge
    command: sh -c 'echo web is up; exec httpd -f -p 80 -h /site'
    volumes: ["site:/site"]
    ports: ["80"]
    healthcheck: {test: ["CMD", "true"], interval: 1s}
  writer:
    image: busybox
    network_mode: none
    command: sh -c 'echo page > /site/index.html; echo written'
    volumes: ["site:/site"]
volumes:
  site: {}
`;
const reason = "skipReason" in debian ? debian.skipReason : "";

test.skipIf(reason !== "")(`docker-compose 1.29 ${reason}`.trim(), async () => {
  const app = join(daemon.dir, "app");
  mkdirSync(app);
  writeFileSync(join(app, "docker-compose.yml"), COMPOSE);
  const root = "dir" in debian ? debian.dir : "";
  const compose = (...words: readonly string[]): Promise<string> =>
    python(pythonPath(root), [join(root, "usr/bin/docker-compose"), "--ansi", "never", ...words], app);
  expect(await compose("version", "--short")).toStartWith("1.29");
  await compose("up", "-d");
  expect(await compose("ps")).toMatch(/app_web_1 .* Up .*->80\/tcp/);
  await daemon.ok("wait", "app_writer_1");
  expect(await compose("logs", "--no-color", "writer")).toContain("writer_1  | written");
  expect(await compose("exec", "-T", "web", "wget", "-q", "-O", "-", "http://127.0.0.1/")).toBe("page\n");
  expect(await compose("run", "--rm", "writer", "echo", "once")).toContain("once");
  await compose("up", "-d", "--scale", "writer=2");
  expect((await compose("ps", "-q", "writer")).trim().split("\n")).toHaveLength(2);
  await compose("restart", "-t", "0", "web");
  expect(await compose("port", "web", "80")).toMatch(/^0\.0\.0\.0:\d+\n$/);
  expect(await compose("top", "web")).toContain("httpd -f -p 80");
  await compose("pause", "web");
  await compose("unpause", "web");
  await compose("stop", "-t", "0");
  await compose("down", "-v");
  expect(await daemon.ok("ps", "-aq")).toBe("");
  expect(await daemon.ok("volume", "ls", "-q", "--filter", "label=com.docker.compose.project=app")).toBe("");
});
