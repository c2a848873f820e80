import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { connect, type Dhow, DhowError, ExecError } from "../../../src/index.ts";
import { Daemon } from "../daemon.ts";

let daemon: Daemon;
let dhow: Dhow;
const idle = { image: "busybox", command: ["sleep", "1000"], network: "none" } as const;

beforeAll(async () => {
  daemon = await Daemon.start();
  dhow = connect({ host: daemon.host });
});

afterAll(async () => {
  await dhow?.close();
  await daemon?.[Symbol.asyncDispose]();
});

afterEach(async () => {
  await daemon.removeContainers();
});

async function failure(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
}

test("a container is gone at the end of its block, its anonymous volumes, too", async () => {
  let id: string;
  {
    await using box = await dhow.containers.run({ ...idle, mounts: [{ kind: "volume", target: "/v" }] });
    id = box.id;
    expect((await dhow.volumes.list()).length).toBe(1);
  }
  expect(await failure(dhow.containers.get(id))).toMatchObject({
    kind: "notFound",
    details: { status: 404 },
    message: `No such container: ${id}`,
  });
  expect(await dhow.volumes.list()).toEqual([]);
});

test("a container that removes itself may be disposed of at the same time", async () => {
  await using box = await dhow.containers.run({ image: "busybox", command: ["true"], autoRemove: true, network: "none" });
  expect(box.id).toHaveLength(64);
});

test("run() leaves nothing of a container that doesn't start", async () => {
  const error = await failure(dhow.containers.run({ image: "busybox", command: ["/no/such"], network: "none" }));
  expect(error).toBeInstanceOf(DhowError);
  expect((error as DhowError).message).toContain("no such file or directory");
  expect(await dhow.containers.list({ all: true })).toEqual([]);
});

test("the options reach the process", async () => {
  await using box = await dhow.containers.run({
    image: "busybox",
    entrypoint: ["/bin/sh", "-c"],
    command: [
      'echo "$A $(id -u):$(id -g) $(pwd) $(hostname) $(cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null)"; df -m /t | tail -n 1',
    ],
    env: { A: "a b" },
    user: "7:8",
    cwd: "/tmp",
    hostname: "named",
    memory: "32m",
    mounts: [{ kind: "tmpfs", target: "/t", size: "8m" }, "/etc:/host-etc:ro"],
    network: "none",
    labels: { one: "1" },
    raw: { HostConfig: { OomScoreAdj: 100 } },
  });
  expect(await box.wait()).toBe(0);
  expect(await box.logs().text()).toMatch(/^a b 7:8 \/tmp named 33554432\ntmpfs +8 /);
  const { HostConfig, Config } = await box.inspect();
  expect(HostConfig).toMatchObject({ OomScoreAdj: 100, Binds: ["/etc:/host-etc:ro"], Memory: 33554432 });
  expect(Config?.Labels).toEqual({ one: "1" });
  expect((await dhow.containers.list({ all: true, filters: { label: "one=1", status: ["exited", "dead"] } })).length).toBe(1);
});

test("ports in all their spellings", async () => {
  await using box = await dhow.containers.run({
    ...idle,
    network: "bridge",
    ports: [80, "127.0.0.1::81/tcp", { container: 53, protocol: "udp" }],
  });
  expect(await box.port(80)).toBeGreaterThan(1024);
  expect(await box.port("53/udp")).toBeGreaterThan(1024);
  expect((await box.inspect()).HostConfig?.PortBindings?.["81/tcp"]).toEqual([{ HostIp: "127.0.0.1", HostPort: "" }]);
  expect(await failure(box.port(443))).toMatchObject({ kind: "notFound" });
  expect(await failure(dhow.containers.create({ ...idle, ports: ["eighty"] }))).toMatchObject({ kind: "invalid" });
  expect(await failure(dhow.containers.create({ ...idle, memory: "much" }))).toMatchObject({ kind: "invalid" });
});

test("an image that is nowhere fails in the engine's words, and never is asked for with pull: never", async () => {
  const missing = { image: "no/such:image", command: ["true"] };
  expect(await failure(dhow.containers.run({ ...missing, pull: "never" }))).toMatchObject({
    kind: "notFound",
    message: "No such image: no/such:image",
  });
  expect(await failure(dhow.containers.run(missing))).toBeInstanceOf(DhowError);
});

test("exec() tells a failure with what was said", async () => {
  await using box = await dhow.containers.run(idle);
  const error = await failure(box.exec("echo out; echo err >&2; exit 5").text());
  expect(error).toBeInstanceOf(ExecError);
  expect(error).toMatchObject({
    exitCode: 5,
    stdout: "out\n",
    stderr: "err\n",
    command: ["/bin/sh", "-c", "echo out; echo err >&2; exit 5"],
  });
  expect((error as Error).message).toEndWith("exit code 5: err");
  const lines = box.exec("echo a; echo b >&2; exit 1").lines();
  expect((await lines.next()).value).toBe("a");
  expect(await failure(lines.next())).toMatchObject({ exitCode: 1, stderr: "b\n" });
  expect(await box.exec("exit 9").exitCode()).toBe(9);
});

test("exec() splits neither characters nor bytes", async () => {
  await using box = await dhow.containers.run(idle);
  expect(await box.exec("printf '\\303'; sleep 0.1; printf '\\251\\n'").lines().next()).toEqual({ value: "é", done: false });
  const bytes = await box.exec(["cat"], { input: new Uint8Array(3_000_000).map((_, index) => index % 251) }).bytes();
  expect(bytes.length).toBe(3_000_000);
  expect(bytes.every((byte, index) => byte === index % 251)).toBe(true);
});

test("exec() can be read once", async () => {
  await using box = await dhow.containers.run(idle);
  const exec = box.exec(["true"], { user: "7", cwd: "/tmp", env: { A: "1" }, tty: true });
  expect(await exec.result()).toEqual({ exitCode: 0, stdout: "", stderr: "" });
  expect(await failure(exec.result())).toMatchObject({ kind: "invalid" });
});

test("exec() with input that fails, fails with that", async () => {
  await using box = await dhow.containers.run(idle);
  async function* broken(): AsyncGenerator<string> {
    yield "a";
    throw new Error("broken source");
  }
  expect(await failure(box.exec(["cat"], { input: broken() }).text())).toMatchObject({ message: "broken source" });
  expect(await box.exec(["true"], { input: "x".repeat(1_000_000) }).exitCode()).toBe(0);
});

test("a signal ends whatever waits, with its reason", async () => {
  await using box = await dhow.containers.run({ ...idle, command: "echo up; sleep 1000" });
  const reason = new Error("enough");
  const soon = (): AbortSignal => {
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 50);
    return controller.signal;
  };
  async function eventsOf(signal: AbortSignal): Promise<void> {
    for await (const _ of dhow.events({ signal }));
  }
  const waits = [
    (signal: AbortSignal) => box.wait({ signal }),
    (signal: AbortSignal) => box.exec(["sleep", "1000"], { signal }).result(),
    (signal: AbortSignal) => box.logs({ follow: true, signal }).text(),
    (signal: AbortSignal) => box.waitForLog("never", { signal }),
    eventsOf,
  ];
  for (const wait of waits) expect(await failure(wait(soon()))).toBe(reason);
  const aborted = AbortSignal.abort(reason);
  for (const call of [() => box.inspect({ signal: aborted }), () => dhow.info({ signal: aborted }), () => box.stop({ signal: aborted })])
    expect(await failure(call())).toBe(reason);
  expect(await box.exec(["echo", "fine"]).text()).toBe("fine\n");
});

test("logs in parts, and waiting for them", async () => {
  await using box = await dhow.containers.run({ image: "busybox", command: "echo a; echo b >&2; echo c", network: "none" });
  expect(await box.waitForLog(/^[bc]$/)).toMatch(/[bc]/);
  await box.wait();
  expect(await box.logs({ stderr: false }).text()).toBe("a\nc\n");
  expect(await box.logs({ stdout: false }).text()).toBe("b\n");
  expect((await box.logs({ tail: 1 }).text()).trim()).toMatch(/^[bc]$/);
  expect(await box.logs({ since: new Date(Date.now() + 60_000) }).text()).toBe("");
  expect(await failure(box.waitForLog("d"))).toMatchObject({ kind: "notFound" });
});

test("health is waited for", async () => {
  const health = (command: string) => ({ command, intervalMs: 50, timeoutMs: 5000, retries: 1 });
  await using well = await dhow.containers.run({ ...idle, health: health("true") });
  await well.waitForHealthy();
  await using ill = await dhow.containers.run({ ...idle, health: health("false") });
  expect(await failure(ill.waitForHealthy())).toMatchObject({ kind: "unavailable" });
  await using none = await dhow.containers.run(idle);
  expect(await failure(none.waitForHealthy())).toMatchObject({ kind: "invalid" });
});

test("stdin again after a restart", async () => {
  await using box = await dhow.containers.create({ image: "busybox", command: "read a; echo got $a", stdin: true, network: "none" });
  for (const word of ["one", "two"]) {
    await box.start();
    await box.stdin.write(`${word}\n`);
    expect(await box.wait()).toBe(0);
  }
  expect(await box.logs().text()).toBe("got one\ngot two\n");
});

test("stats, pause, kill, rename", async () => {
  await using box = await dhow.containers.run(idle);
  await box.rename("renamed");
  expect((await dhow.containers.get("renamed")).id).toBe(box.id);
  for await (const { pids_stats } of box.stats()) {
    expect(pids_stats?.current).toBe(1);
    break;
  }
  await box.pause();
  expect((await box.inspect()).State?.Status).toBe("paused");
  await box.unpause();
  await box.kill();
  expect(await box.wait()).toBe(137);
});

test("a client outlives its engine's restart", async () => {
  await using box = await dhow.containers.run(idle);
  await daemon.kill9();
  expect(await failure(dhow.info())).toMatchObject({ kind: "unavailable" });
  await daemon.launch();
  expect(await box.exec(["echo", "here"]).text()).toBe("here\n");
});

test("a container's changes, its file system, and an image of it", async () => {
  await using box = await dhow.containers.run(idle);
  expect(await box.changes()).toEqual([]);
  await box.exec("echo kept > /kept").text();
  expect(await box.changes()).toEqual([{ Path: "/kept", Kind: 1 }]);
  const tar = Buffer.from(await new Response(box.export()).arrayBuffer());
  expect(tar.includes("kept\n")).toBe(true);
  const id = await box.commit("sdk-made:1", { author: "me", comment: "text", changes: ["ENV A=1"] });
  try {
    expect(await dhow.images.inspect("sdk-made:1")).toMatchObject({ Id: id, Author: "me", Comment: "text" });
    await using copy = await dhow.containers.run({ ...idle, image: "sdk-made:1" });
    expect(await copy.exec("cat /kept; echo $A").text()).toBe("kept\n1\n");
  } finally {
    await dhow.images.remove(id, { force: true });
  }
});

test("networks: containers reach each other by name, and come and go while they run", async () => {
  await using inside = await dhow.networks.create({
    name: "inside",
    internal: true,
    subnets: [{ subnet: "10.216.5.0/24" }],
    labels: { a: "b" },
  });
  expect(await inside.inspect()).toMatchObject({ Internal: true, Labels: { a: "b" }, IPAM: { Config: [{ Subnet: "10.216.5.0/24" }] } });
  {
    await using server = await dhow.containers.run({ image: "busybox", command: ["sleep", "1000"] });
    await using visitor = await dhow.containers.run({ ...idle, network: inside.name });
    await inside.connect(server, { aliases: ["db"], ipv4: "10.216.5.77" });
    expect(await visitor.exec(["ping", "-c", "1", "-W", "2", "db"]).text()).toContain("PING db (10.216.5.77)");
    expect(await failure(inside.remove())).toMatchObject({ kind: "forbidden" });
    const same = await dhow.networks.get(inside.id);
    await same.disconnect(server.id);
    expect(await failure(same.disconnect(server))).toMatchObject({ kind: "forbidden" });
  }
  expect((await dhow.networks.list({ filters: { name: "inside" } })).length).toBe(1);
});
