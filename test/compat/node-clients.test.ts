/** dockerode and Testcontainers, unmodified, on Node.js and on Bun; the Dev Containers CLI. Their versions: clients/package-lock.json. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, dockerCli, until } from "../e2e/daemon.ts";
import { npmClients } from "./clients.ts";

const PROGRAMS = join(import.meta.dir, "clients/programs");
const clients = process.getuid?.() === 0 ? npmClients() : { skipReason: "needs root" };
const skipReason = "skipReason" in clients ? clients.skipReason : "";
const dir = "dir" in clients ? clients.dir : "";
let daemon: Daemon;

beforeAll(async () => {
  if (skipReason === "") daemon = await Daemon.start();
});

afterAll(async () => {
  if (skipReason === "") await daemon[Symbol.asyncDispose]();
});

async function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const child = Bun.spawn(["timeout", "--kill-after=5", "100", ...command], {
    cwd: daemon.dir,
    env: { ...process.env, HOME: daemon.dir, TMPDIR: daemon.dir, DOCKER_HOST: daemon.host, CLIENTS: dir, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: exit code ${exitCode}\n${stdout}${stderr}`);
  return stdout;
}

/** How many steps a program has, each of which says `ok`. */
async function stepsOf(program: string): Promise<number> {
  return (await Bun.file(join(PROGRAMS, program)).text()).match(/^await step\(/gm)?.length ?? 0;
}

const RUNTIMES = { "Node.js": ["node"], Bun: [process.execPath, "--no-env-file", "--config=/dev/null"] };

describe.each(Object.entries(RUNTIMES))("%s", (_, runtime) => {
  test.skipIf(skipReason !== "")(`dockerode ${skipReason}`.trim(), async () => {
    const said = await run([...runtime, join(PROGRAMS, "dockerode.mjs")]);
    expect(said.match(/^ok /gm)?.length).toBe(await stepsOf("dockerode.mjs"));
    expect(await daemon.ok("ps", "-aq")).toBe("");
  });
});

async function testcontainers(runtime: readonly string[], env: Readonly<Record<string, string>>): Promise<void> {
  const said = await run([...runtime, join(PROGRAMS, "testcontainers.mjs")], env);
  expect(said.match(/^ok /gm)?.length).toBe(await stepsOf("testcontainers.mjs"));
  await daemon.docker("rmi", "-f", "testcontainers-made:1");
}

test.skipIf(skipReason !== "")(`Testcontainers on Node.js, without its reaper ${skipReason}`.trim(), async () => {
  await testcontainers(RUNTIMES["Node.js"], { TESTCONTAINERS_RYUK_DISABLED: "true" });
  // the one that never started is left to the reaper
  expect((await daemon.ok("ps", "-aq", "--filter", "status=created")).split("\n")).toHaveLength(1);
  await daemon.removeContainers();
});

test.skipIf(skipReason !== "")(`Testcontainers on Bun, with its reaper, which the engine is ${skipReason}`.trim(), async () => {
  await testcontainers(RUNTIMES.Bun, {});
  await until("what its dead client left is removed", async () => !(await daemon.ok("ps", "-a")).includes("/no/such"));
  await daemon.removeContainers();
});

const DEVCONTAINER = {
  image: "busybox:latest",
  containerEnv: { FROM_CONFIG: "yes" },
  remoteEnv: { REMOTE: "$" + "{containerEnv:FROM_CONFIG}" },
  mounts: [{ type: "volume", source: "devcontainer-volume", target: "/data" }],
  onCreateCommand: "echo created > /data/created",
  postCreateCommand: { one: "echo one > /tmp/one", two: ["sh", "-c", "echo two > /tmp/two"] },
  postStartCommand: "cat /data/created /tmp/one",
};

test.skipIf(skipReason !== "")(`Dev Containers CLI ${skipReason}`.trim(), async () => {
  const workspace = join(daemon.dir, "project");
  mkdirSync(join(workspace, ".devcontainer"), { recursive: true });
  writeFileSync(join(workspace, ".devcontainer/devcontainer.json"), JSON.stringify(DEVCONTAINER));
  const cli = (...words: readonly string[]): Promise<string> => {
    const [verb = "", ...rest] = words;
    const place = ["--workspace-folder", workspace, "--docker-path", dockerCli];
    return run([join(dir, "node_modules/.bin/devcontainer"), verb, ...place, ...rest]);
  };
  const first = JSON.parse((await cli("up")).trim());
  expect(first).toMatchObject({ outcome: "success", remoteUser: "root", remoteWorkspaceFolder: "/workspaces/project" });
  expect(await cli("exec", "sh", "-c", "echo $FROM_CONFIG $REMOTE; pwd; cat /tmp/one /tmp/two /data/created; ls -d .devcontainer")).toBe(
    "yes yes\n/workspaces/project\none\ntwo\ncreated\n.devcontainer\n",
  );
  expect(JSON.parse(await cli("up")).containerId).toBe(first.containerId);
  expect(JSON.parse(await cli("up", "--remove-existing-container")).containerId).not.toBe(first.containerId);
  await daemon.removeContainers();
});
