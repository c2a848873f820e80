/** SIGHUP makes the daemon read daemon.json again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Daemon, type Finished, until } from "../daemon.ts";

interface Info {
  readonly Debug: boolean;
  readonly Labels: readonly string[];
  readonly DefaultRuntime: string;
  readonly Runtimes: Readonly<Record<string, unknown>>;
  readonly RegistryConfig: { readonly Mirrors: readonly string[] | null; readonly InsecureRegistryCIDRs: readonly string[] };
}

const DHOW = join(import.meta.dir, "../../../dhow");
const CRUN = Bun.which("crun") ?? "";
let dir: string;
let path: string;
let daemon: Daemon;
const write = (settings: unknown): void => writeFileSync(path, typeof settings === "string" ? settings : JSON.stringify(settings));

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "dhow-reload-"));
  path = join(dir, "daemon.json");
  write({ labels: ["a=1"], iptables: false });
  daemon = await Daemon.start({ args: ["--config-file", path] });
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

/** Sends the signal and waits until the log has one more line with `text`. */
async function reload(settings: unknown, text: string): Promise<string> {
  const count = (): number => daemon.log.split(text).length;
  const before = count();
  write(settings);
  process.kill(daemon.pid, "SIGHUP");
  await until(text, () => count() > before);
  return daemon.log.split("\n").findLast((line) => line.includes(text)) ?? "";
}

async function info(): Promise<Info> {
  return (await daemon.api<Info>("GET", "/info")).json;
}

test("a setting without an effect is told at the start", () => {
  expect(daemon.log).toContain(`msg="a setting of dockerd's has no effect here" setting=iptables`);
});

test("labels, debug, mirrors and the default runtime change, and an event tells", async () => {
  const since = Date.now() / 1000;
  const settings = {
    labels: ["b=2"],
    debug: true,
    "registry-mirrors": ["https://mirror.example"],
    "insecure-registries": ["10.9.0.0/16"],
    runtimes: { other: { path: CRUN } },
    "default-runtime": "other",
    "default-shm-size": "32m",
    mtu: 1400,
  };
  await reload(settings, "Reloaded configuration");
  expect(await info()).toMatchObject({
    Labels: ["b=2"],
    Debug: true,
    DefaultRuntime: "other",
    Runtimes: { other: { path: CRUN } },
    RegistryConfig: { Mirrors: ["https://mirror.example/"], InsecureRegistryCIDRs: ["::1/128", "10.9.0.0/16", "127.0.0.0/8"] },
  });
  expect(daemon.log).toContain('msg="settings changed that need a restart of the daemon" settings="iptables, mtu"');
  expect(daemon.log).toContain("level=debug");
  const query = `since=${since}&until=${Date.now() / 1000}&filters=${encodeURIComponent('{"type":["daemon"]}')}`;
  const { text } = await daemon.api("GET", `/events?${query}`);
  const event = JSON.parse(text.trim());
  expect(event).toMatchObject({
    Action: "reload",
    Actor: {
      Attributes: { debug: "true", labels: '["b=2"]', "default-runtime": "other", "default-shm-size": "33554432", features: "map[]" },
    },
  });
  const shm = await daemon.docker("run", "--rm", "busybox", "sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'");
  expect(shm).toEqual({ stdout: "32768\n", stderr: "", exitCode: 0 });
});

test("what can't be taken leaves everything as it was", async () => {
  const before = await info();
  for (const [settings, text] of [
    ['{"labels": [', "unexpected end of JSON input"],
    [{ nothing: 1 }, "the following directives don't match any configuration option: nothing"],
    [{ labels: ["c=3"], "default-runtime": "none" }, "specified default runtime 'none' does not exist"],
  ] as const) {
    const line = await reload(settings, "Error reloading configuration");
    expect(line).toContain(text);
  }
  expect(await info()).toMatchObject({ Labels: before.Labels, DefaultRuntime: before.DefaultRuntime });
});

test("a container keeps its runtime when that is taken out of the file", async () => {
  await daemon.ok("run", "-d", "--name", "kept", "--runtime", "other", "busybox", "top");
  await reload({ runtimes: {}, "default-runtime": "crun" }, "Reloaded configuration");
  expect((await info()).Runtimes).not.toHaveProperty("other");
  expect(await daemon.ok("exec", "kept", "echo", "in")).toBe("in");
  const { stderr } = await daemon.docker("run", "--rm", "--runtime", "other", "busybox", "true");
  expect(stderr).toContain("unknown or invalid runtime name: other");
  await daemon.ok("rm", "-f", "kept");
});

test("--validate says whether a file would do, and starts nothing", async () => {
  const validate = async (settings: unknown, ...args: readonly string[]): Promise<Finished> => {
    const file = join(dir, "other.json");
    writeFileSync(file, JSON.stringify(settings));
    const { stdout, stderr, exitCode } = await daemon.dockerWith({ cli: DHOW }, "daemon", "--validate", "--config-file", file, ...args);
    return { stdout, stderr: stderr.replaceAll(file, "FILE"), exitCode };
  };
  expect(await validate({ debug: true })).toEqual({ stdout: "", stderr: "configuration OK\n", exitCode: 0 });
  expect(await validate({ debug: true }, "-D")).toEqual({
    stdout: "",
    stderr:
      "unable to configure the Docker daemon with file FILE: the following directives are specified both as a flag and in the configuration file: debug: (from flag: true, from file: true)\n",
    exitCode: 1,
  });
  expect((await validate({ hosts: ["tcp://0.0.0.0:2375"] })).stderr).toStartWith("listening on TCP without authentication");
  expect((await validate({ "metrics-addr": "here" })).stderr).toBe('invalid metrics address "here": use host:port or unix:///path\n');
});
