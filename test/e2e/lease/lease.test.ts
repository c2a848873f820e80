/** Objects that go with their owner: its time, its process, its connection. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { imageArchive, tar } from "../archive.ts";
import { Daemon, until } from "../daemon.ts";

const MAIN = join(import.meta.dir, "../../../src/main.ts");
const OURS = [process.execPath, "--no-env-file", "--config=/dev/null", "--no-install", MAIN];

let daemon: Daemon;
let reaperPort: number;

beforeAll(async () => {
  reaperPort = await freePort();
  daemon = await Daemon.start({ args: ["--reaper-addr", `127.0.0.1:${reaperPort}`] });
}, 120_000);

afterEach(async () => {
  for (const { Id } of await leases()) await daemon.api("DELETE", `/leases/${Id}`);
  await daemon.removeContainers();
  await daemon.docker("volume", "rm", "-f", "kept", "mine", "used");
  expect(await daemon.residue()).toEqual([]);
});

afterAll(() => daemon?.[Symbol.asyncDispose]());

async function freePort(): Promise<number> {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop();
  return port;
}

interface LeaseView {
  readonly Id: string;
  readonly Name: string;
  readonly Holders: number;
}

const leases = async (): Promise<readonly LeaseView[]> => (await daemon.api<readonly LeaseView[]>("GET", "/leases")).json;
const lease = async (body: object): Promise<string> => {
  const { status, text, json } = await daemon.api<LeaseView>("POST", "/leases", body);
  expect({ status, text }).toEqual({ status: 201, text });
  return json.Id;
};
const containers = (): Promise<string> => daemon.ok("ps", "-a", "--format", "{{.Names}}");
const noContainers = (): Promise<boolean> => until("the containers are gone", async () => (await containers()) === "");

function dhow(args: readonly string[], env: Readonly<Record<string, string>> = {}): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  return Bun.spawn([...OURS, "-H", daemon.host, ...args], {
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

test("--ttl: a container and a volume go when their time is over, and survive the daemon until then", async () => {
  const run = dhow(["run", "-d", "--name", "short", "--ttl", "1500ms", "busybox", "sleep", "1000"]);
  expect(await run.exited).toBe(0);
  expect(await dhow(["volume", "create", "--ttl", "1s", "mine"]).exited).toBe(0);
  await daemon.ok("run", "-d", "--name", "long", "--label", "dhow.ttl=1h", "-v", "kept:/x", "busybox", "sleep", "1000");
  await daemon.kill9();
  await daemon.launch();
  await until("short is gone", async () => (await containers()) === "long");
  await until("its volume, too", async () => (await daemon.ok("volume", "ls", "-q")) === "kept");
});

test("a volume whose time is over waits for its last container", async () => {
  await daemon.ok("volume", "create", "--label", "dhow.ttl=100ms", "used");
  await daemon.ok("run", "-d", "--name", "user", "-v", "used:/x", "busybox", "sleep", "1000");
  await Bun.sleep(500);
  expect(await daemon.ok("volume", "ls", "-q")).toBe("used");
});

test("mistakes are told before anything is made", async () => {
  for (const [body, message] of [
    [{}, "a lease needs an end: give it a TTL, the Pid of its owner, or Hold"],
    [{ TTL: "soon" }, 'invalid TTL "soon": must be a duration above zero, such as 10m'],
    [{ Pid: 4_194_305 }, "no process has the pid 4194305"],
    [{ TTL: "1h", Name: "a b" }, "Invalid lease name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"],
    [{ Hold: true, GraceSeconds: -1 }, "GraceSeconds must be 0 or more"],
  ] as const) {
    expect((await daemon.api("POST", "/leases", body)).json).toEqual({ message });
  }
  const ttl = await daemon.docker("create", "--label", "dhow.ttl=soon", "busybox");
  expect(ttl.stderr).toContain('invalid label dhow.ttl "soon"');
  const owner = await daemon.docker("create", "--label", "dhow.lease=nobody", "busybox");
  expect(owner.stderr).toContain("No such lease: nobody");
  expect((await daemon.docker("volume", "create", "--label", "dhow.lease=nobody", "mine")).exitCode).toBe(1);
  expect((await daemon.api("DELETE", "/leases/nobody")).status).toBe(404);
  const header = await daemon.api("POST", "/containers/create", { Image: "busybox" }, { "X-Dhow-Lease": "nobody" });
  expect({ status: header.status, json: header.json }).toEqual({ status: 400, json: { message: "No such lease: nobody" } });
  expect(await containers()).toBe("");
  expect(await leases()).toEqual([]);
});

test("a lease takes along what was made with its header: by docker's own command line, too", async () => {
  const id = await lease({ TTL: "1h", Name: "ours" });
  const config = join(daemon.dir, "leased");
  writeFileSync(`${daemon.dir}/leased.json`, "");
  Bun.spawnSync(["mkdir", "-p", config]);
  writeFileSync(join(config, "config.json"), JSON.stringify({ HttpHeaders: { "X-Dhow-Lease": "ours" } }));
  const env = { DOCKER_CONFIG: config };
  const leased = async (...args: readonly string[]): Promise<void> => {
    const { exitCode, stderr } = await daemon.dockerWith({ env }, ...args);
    expect({ args, exitCode, stderr }).toEqual({ args, exitCode: 0, stderr });
  };
  await leased("run", "-d", "--name", "one", "-v", "/anonymous", "busybox", "sleep", "1000");
  await leased("create", "--name", "two", "busybox");
  await leased("volume", "create", "mine");
  const archive = imageArchive({ name: "leased", layers: [tar([{ name: "file", data: "x" }])] });
  await daemon.api("POST", "/images/load?quiet=1", archive, { "Content-Type": "application/x-tar", "X-Dhow-Lease": id });
  await daemon.ok("create", "--name", "other", "busybox");
  await daemon.ok("volume", "create", "kept");
  expect(await daemon.ok("ps", "-aq", "--filter", `label=dhow.lease=${id}`)).not.toBe("");
  const ended = await daemon.api<Record<string, readonly string[]>>("DELETE", "/leases/ours");
  expect(Object.entries(ended.json).map(([kind, list]) => [kind, list.length])).toEqual([
    ["Containers", 2],
    ["Networks", 0],
    ["Volumes", 1],
    ["Images", 1],
  ]);
  expect(await containers()).toBe("other");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("kept");
  expect(await daemon.ok("images", "-q", "leased")).toBe("");
});

test("a lease ends with its process, also when no daemon sees that", async () => {
  for (const isWatched of [true, false]) {
    const owner = Bun.spawn(["sleep", "1000"]);
    const id = await lease({ Pid: owner.pid });
    await daemon.ok("run", "-d", "--label", `dhow.lease=${id}`, "busybox", "sleep", "1000");
    if (!isWatched) await daemon.kill9();
    owner.kill("SIGKILL");
    await owner.exited;
    if (!isWatched) await daemon.launch();
    await noContainers();
    expect(await leases()).toEqual([]);
  }
});

test("a lease ends with its last connection, after a grace in which another may come", async () => {
  const id = await lease({ Hold: true, GraceSeconds: 1 });
  await daemon.ok("run", "-d", "--name", "held", "--label", `dhow.lease=${id}`, "busybox", "sleep", "1000");
  const hold = async (): Promise<AbortController> => {
    const controller = new AbortController();
    const response = await fetch(`http://localhost/leases/${id}/hold`, { unix: daemon.socket, signal: controller.signal });
    await response.body?.getReader().read();
    return controller;
  };
  const first = await hold();
  const second = await hold();
  expect((await leases())[0]?.Holders).toBe(2);
  first.abort();
  second.abort();
  const third = await hold();
  await Bun.sleep(1500);
  expect(await containers()).toBe("held");
  third.abort();
  await noContainers();
});

test("an end that a daemon had begun is finished by the next one", async () => {
  const id = await lease({ TTL: "5s" });
  for (const name of ["one", "two"])
    await daemon.ok("run", "-d", "--name", name, "--label", `dhow.lease=${id}`, "busybox", "sleep", "1000");
  await daemon.kill9();
  await Bun.sleep(4000);
  await daemon.launch();
  await noContainers();
  await until("the lease is forgotten", async () => (await leases()).length === 0);
});

test("dhow lease run: what a command makes goes with it, and its exit code is passed on", async () => {
  const script = `"$@" run -d --name inside busybox sleep 1000 >/dev/null && "$@" ps --format '{{.Names}}'; exit 7`;
  const run = dhow(["lease", "run", "sh", "-c", script, "sh", ...OURS, "-H", daemon.host]);
  expect(await run.stdout.text()).toBe("inside\n");
  expect(await run.exited).toBe(7);
  expect(await containers()).toBe("");
  const missing = dhow(["lease", "run", "no-such-command"]);
  expect(await missing.exited).toBe(127);
  expect(await missing.stderr.text()).toContain("no-such-command: command not found");
  expect(await leases()).toEqual([]);
});

test("dhow lease run, killed with -9", async () => {
  const run = dhow([
    "lease",
    "run",
    "sh",
    "-c",
    'echo $$; "$@" run -d --name inside busybox sleep 1000 >/dev/null; exec sleep 1000 >/dev/null 2>&1',
    "sh",
    ...OURS,
    "-H",
    daemon.host,
  ]);
  await until("it has a container", async () => (await containers()) === "inside");
  run.kill("SIGKILL");
  await noContainers();
  process.kill(Number((await run.stdout.text()).split("\n")[0]), "SIGKILL");
}, 40_000);

test("dhow lease create, ls, renew, inspect, rm", async () => {
  const create = dhow(["lease", "create", "--ttl", "1h", "--name", "mine"]);
  const id = (await create.stdout.text()).trim();
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  const list = await dhow(["lease", "ls"]).stdout.text();
  expect(list).toMatch(/^LEASE ID +NAME +CREATED +EXPIRES +OWNER\n[0-9a-f]{12} +mine +.* ago +in (59 minutes|About an hour) *\n$/);
  expect(await dhow(["lease", "renew", "--ttl", "72h", "mine"]).stdout.text()).toBe("mine\n");
  expect(await dhow(["lease", "ls", "--format", "{{.Name}} {{.Expires}}"]).stdout.text()).toMatch(/^mine in (2|3) days\n$/);
  expect(await dhow(["lease", "inspect", "-f", "{{.Hold}} {{.GraceSeconds}}", id.slice(0, 12)]).stdout.text()).toBe("false 10\n");
  await daemon.ok("create", "--name", "kept", "--label", `dhow.lease=${id}`, "busybox");
  expect(await dhow(["lease", "rm", "--keep", "mine"]).stdout.text()).toBe("mine\n");
  expect(await containers()).toBe("kept");
});

/** A client of the reaper's protocol. */
async function reaperClient(port: number, host = "127.0.0.1"): Promise<Socket> {
  const socket = connect({ host, port });
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return socket;
}

function send(socket: Socket, line: string): Promise<string> {
  socket.write(`${line}\n`);
  return new Promise((resolve) => {
    socket.once("data", (data) => resolve(data.toString()));
    socket.once("close", () => resolve("closed"));
  });
}

test("the reaper's protocol on --reaper-addr: what a lost client marked goes after ten seconds", async () => {
  const socket = await reaperClient(reaperPort);
  expect(await send(socket, "label=org.testcontainers.sessionId%3Dabc&label=org.testcontainers%3Dtrue")).toBe("ACK\n");
  const marked = ["--label", "org.testcontainers=true", "--label", "org.testcontainers.sessionId=abc"];
  await daemon.ok("run", "-d", "--name", "marked", ...marked, "busybox", "sleep", "1000");
  await daemon.ok("create", "--name", "other", "--label", "org.testcontainers=true", "busybox");
  socket.destroy();
  await until("the marked one is gone", async () => (await containers()) === "other");
  const bad = await reaperClient(reaperPort);
  expect(await send(bad, "name=other")).toBe("closed");
  expect(await containers()).toBe("other");
}, 40_000);

test("the image that Testcontainers asks for is there without a registry, and served in its container", async () => {
  await daemon.ok("pull", "-q", "testcontainers/ryuk:0.11.0");
  const id = await daemon.ok("run", "-d", "--rm", "--name", "reaper", "-p", "127.0.0.1::8080", "testcontainers/ryuk:0.11.0");
  await until("it says that it has started", async () => (await daemon.ok("logs", id)).includes("Started"));
  const port = Number((await daemon.ok("port", "reaper", "8080/tcp")).split(":")[1]);
  const socket = await reaperClient(port);
  expect(await send(socket, "label=session%3Dx")).toBe("ACK\n");
  await daemon.ok("create", "--name", "marked", "--label", "session=x", "busybox");
  // a daemon that dies takes the connection along; the next one serves the container again
  await daemon.kill9();
  await daemon.launch();
  const again = await reaperClient(port);
  expect(await send(again, "label=session%3Dx")).toBe("ACK\n");
  again.destroy();
  await until("both are gone", async () => (await containers()) === "");
  await daemon.ok("rmi", "testcontainers/ryuk:0.11.0");
}, 60_000);
