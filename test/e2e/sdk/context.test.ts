/** `connect()` finds the engine that docker's command line would use. */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect } from "../../../src/index.ts";
import { Daemon } from "../daemon.ts";

const daemon = await Daemon.start();
const config = join(daemon.dir, "config");
const NAMES = ["DHOW_HOST", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY"];
const before = NAMES.map((name) => [name, process.env[name]] as const);

beforeEach(() => {
  for (const name of NAMES) delete process.env[name];
  process.env["DOCKER_CONFIG"] = config;
  rmSync(config, { recursive: true, force: true });
  mkdirSync(config);
});

afterAll(async () => {
  for (const [name, value] of before) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
  await daemon[Symbol.asyncDispose]();
});

const docker = async (...args: readonly string[]): Promise<void> => {
  const { exitCode, stderr } = await daemon.dockerWith({ env: { DOCKER_HOST: "", DOCKER_CONFIG: config } }, ...args);
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
};

/** Whether an engine answers whose image is the daemon's. */
async function finds(options: Parameters<typeof connect>[0] = {}): Promise<boolean> {
  const dhow = connect(options);
  try {
    await using box = await dhow.containers.create({ image: "busybox", name: "found" });
    return (await daemon.ok("ps", "-aq", "--no-trunc", "--filter", "name=^found$")) === box.id;
  } catch {
    return false;
  } finally {
    await dhow.close();
  }
}

test("by a name, by DOCKER_CONTEXT, and by `docker context use`", async () => {
  await docker("context", "create", "here", "--docker", `host=${daemon.host}`);
  expect(await finds({ context: "here" })).toBe(true);
  process.env["DOCKER_CONTEXT"] = "here";
  expect(await finds()).toBe(true);
  delete process.env["DOCKER_CONTEXT"];
  await docker("context", "use", "here");
  expect(await finds()).toBe(true);
});

test("DOCKER_HOST and `host` come before them, a named context before DOCKER_HOST", async () => {
  await docker("context", "create", "here", "--docker", `host=${daemon.host}`);
  await docker("context", "create", "nowhere", "--docker", "host=unix:///nowhere/d.sock");
  process.env["DOCKER_CONTEXT"] = "nowhere";
  expect(await finds()).toBe(false);
  expect(await finds({ host: daemon.host })).toBe(true);
  process.env["DOCKER_HOST"] = daemon.host;
  expect(await finds()).toBe(true);
  expect(await finds({ context: "nowhere" })).toBe(false);
  expect(await finds({ context: "default" })).toBe(true);
});

test("a context that isn't there, and a broken file, are told of", async () => {
  expect(() => connect({ context: "none" })).toThrow(/^context "none": context not found: open .*meta\.json: no such file or directory$/);
  writeFileSync(join(config, "config.json"), "{");
  expect(() => connect()).toThrow(/^read .*config\.json: /);
});
