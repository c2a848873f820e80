/** What is broken on purpose on a daemon at work is found and repaired, and nothing else is touched. */
import { Database } from "bun:sqlite";
import { afterAll, beforeEach, expect, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { CheckReport } from "../../../src/spec/engine/mod.ts";
import { busyboxArchive, Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

async function check(query = "", method = "GET"): Promise<CheckReport> {
  const { status, json, text } = await daemon.api<CheckReport>(method, `/system/check${query}`);
  if (status !== 200) throw new Error(text);
  return json;
}

const repair = (query = ""): Promise<CheckReport> => check(`?repair=1${query}`, "POST");

function problems({ Checks }: CheckReport): string[] {
  return Checks.flatMap(({ Id, Problems }) => Problems.map(({ Status, What }) => `${Id} ${Status}: ${What}`)).sort();
}

/** Finds the same twice, repairs it, and then all is well. */
async function findAndFix(expected: readonly RegExp[], query = ""): Promise<void> {
  const found = problems(await check(`?${query}`));
  expect(found.length, found.join("\n")).toBe(expected.length);
  for (const pattern of expected) expect(found.join("\n")).toMatch(pattern);
  const report = await repair(`&${query}`);
  expect(report, problems(report).join("\n")).toMatchObject({ Left: 0 });
  expect(problems(await check(`?${query}`))).toEqual([]);
}

function inNamespace(...command: string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["nsenter", "-t", String(daemon.pid), "-m", ...command]);
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
}

const idOf = async (name: string): Promise<string> => daemon.ok("inspect", "-f", "{{.Id}}", name);

beforeEach(async () => {
  await daemon.removeContainers();
  if ((await daemon.ok("images", "-q", "busybox")) === "") await daemon.ok("load", "-q", "-i", await busyboxArchive());
});

test("directories, mounts, files and short names of nobody are deleted", async () => {
  await daemon.ok("run", "-d", "--name", "runs", "--ipc", "shareable", "busybox", "sleep", "1000");
  await daemon.ok("create", "--name", "waits", "busybox", "true");
  const waits = await idOf("waits");
  const { dataRoot, execRoot } = daemon;
  const dirs = ["snapshots/active/f00", "snapshots/drafts/f01", "snapshots/trash/f02", "containers/f03", "tmp/f04"];
  for (const dir of dirs) mkdirSync(join(dataRoot, dir), { recursive: true });
  for (const dir of ["bundles/f05", "execs/f06", "shm/f07", "scratch/f08", "crun/f09"]) mkdirSync(join(execRoot, dir), { recursive: true });
  writeFileSync(join(dataRoot, "content/ingest/half"), "half");
  writeFileSync(join(dataRoot, "content/blobs/sha256", "0".repeat(64)), "nobody's");
  symlinkSync("../layers/none/diff", join(dataRoot, "snapshots/l/none"));
  inNamespace("mount", "-t", "tmpfs", "stray", join(execRoot, "shm/f07"));
  inNamespace("mount", "-t", "tmpfs", "stray", join(dataRoot, "snapshots/active", waits, "merged"));
  await findAndFix([
    /snapshots found: snapshot f00/,
    /snapshots found: .*f01/,
    /snapshots found: .*f02/,
    /container-files found: .*f03/,
    /temporary-files found: .*f04/,
    /runs found: bundle .*f05/,
    /runs found: .*execs\/f06/,
    /runs found: .*shm\/f07/,
    /runs found: .*scratch\/f08/,
    /runs found: state .*f09/,
    /configs found: blob sha256:000/,
    /configs found: .*half/,
    /snapshots found: short name/,
    new RegExp(`mounts found: .*${waits}/merged is mounted`),
  ]);
  // the trash is emptied beside everything else
  await until("they are gone", () => !dirs.some((dir) => existsSync(join(dataRoot, dir))));
  expect(await daemon.ok("exec", "runs", "echo", "fine")).toBe("fine");
  await daemon.ok("start", "-a", "waits");
});

test("processes, cgroups, interfaces and elements of the firewall of nobody go, missing ones come back", async () => {
  await daemon.ok("run", "-d", "--name", "runs", "-p", "127.0.0.1::80", "-p", "81", "busybox", "httpd", "-f", "-h", "/etc");
  const port = (await daemon.ok("port", "runs", "80/tcp")).split("\n")[0]?.split(":").at(-1) ?? "";
  const cgroups = readdirSync("/sys/fs/cgroup")
    .map((name) => `/sys/fs/cgroup/${name}/dhow/${daemon.daemonId}`)
    .concat(`/sys/fs/cgroup/dhow/${daemon.daemonId}`)
    .filter((dir) => existsSync(dir));
  for (const dir of cgroups) mkdirSync(join(dir, "orphan"));
  const orphan = Bun.spawn(["sleep", "1000"]);
  writeFileSync(join(cgroups[0] ?? "", "orphan", "cgroup.procs"), String(orphan.pid));
  const holder = Bun.spawn(["sh", "-c", "sleep 1000", "dhow-holder", "crun", "run", "--bundle", join(daemon.execRoot, "bundles", "gone")]);
  const nft = (text: string): void => void Bun.spawnSync(["nft", text]);
  nft(`add element ip ${daemon.bridge} ports { tcp . 9 : ${daemon.gateway} . 9 }`);
  nft(`delete element ip ${daemon.bridge} host_ports { 127.0.0.1 . tcp . ${port} }`);
  const stray = `veth${"0123456".split("").reverse().join("")}`;
  Bun.spawnSync(["ip", "link", "add", stray, "type", "veth", "peer", "name", `p${stray}`.slice(0, 14)]);
  Bun.spawnSync(["ip", "link", "set", stray, "master", daemon.bridge]);
  await until(
    "the pool is full",
    async () => Bun.spawnSync(["ip", "-o", "link", "show", "master", daemon.bridge]).stdout.toString().split("\n").length > 10,
  );
  const [spare = ""] = [
    ...Bun.spawnSync(["ip", "-o", "link", "show", "master", daemon.bridge])
      .stdout.toString()
      .matchAll(/veth[0-9a-f]{7}/g),
  ]
    .map(String)
    .filter((name) => name !== stray)
    .slice(-1);
  Bun.spawnSync(["ip", "link", "delete", spare]);
  await findAndFix([
    new RegExp(`network found: interface ${spare} of a sandbox made ahead is gone`),
    /cgroups found: .*orphan/,
    new RegExp(`processes found: process ${holder.pid} \\(dhow-holder\\)`),
    /network found: nft element ports tcp \. 9 : .* publishes no port/,
    new RegExp(`network found: nft element host_ports 127\\.0\\.0\\.1 \\. tcp \\. ${port} .* is missing`),
    new RegExp(`network found: interface ${stray}`),
  ]);
  expect([await orphan.exited, await holder.exited]).toEqual([137, 137]);
  const answers = async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${port}/passwd`)).status < 500;
  await until("the published port answers", () => answers().catch(() => false));
});

test("rows that are gone are written again, volumes without one are taken in", async () => {
  await daemon.ok("volume", "create", "kept");
  await daemon.ok("run", "-d", "--name", "runs", "-v", "kept:/kept", "busybox", "sh", "-c", "echo here >/kept/a; sleep 1000");
  await daemon.ok("create", "--name", "waits", "busybox", "true");
  const runs = await idOf("runs");
  {
    using db = new Database(join(daemon.dataRoot, "db.sqlite"));
    db.run("PRAGMA busy_timeout = 5000");
    db.run("DELETE FROM containers");
    db.run("DELETE FROM sandboxes WHERE container_id = ?", [runs]);
    db.run("DELETE FROM plugs WHERE container_id = ?", [runs]);
    db.run("DELETE FROM volumes WHERE name = 'kept'");
    db.run("PRAGMA foreign_keys = OFF");
    db.run("INSERT INTO image_names (name, image_id) VALUES ('docker.io/library/ghost:latest', 'sha256:none')");
  }
  await findAndFix([
    /containers found: container/,
    /containers found: container .*\n.*containers found: container/,
    /network found: no row of the endpoint/,
    /volumes found: volume kept is not in the database/,
    /references found: the table image_names/,
  ]);
  await daemon.kill9();
  await daemon.launch();
  expect(await daemon.ok("exec", "runs", "cat", "/kept/a")).toBe("here");
  await daemon.ok("start", "-a", "waits");
});

test("a layer that has lost its row gets it again, and one of no image goes", async () => {
  await daemon.ok("run", "--name", "made", "busybox", "sh", "-c", "echo content >/file");
  await daemon.ok("commit", "made", "two:1");
  await daemon.ok("run", "-d", "--name", "runs", "two:1", "sleep", "1000");
  {
    using db = new Database(join(daemon.dataRoot, "db.sqlite"));
    db.run("PRAGMA busy_timeout = 5000");
    db.run("PRAGMA foreign_keys = OFF");
    db.run("DELETE FROM layers");
  }
  mkdirSync(join(daemon.dataRoot, "snapshots/layers", "f".repeat(64), "diff"), { recursive: true });
  const report = await repair();
  expect(report, problems(report).join("\n")).toMatchObject({ Left: 0 });
  expect(problems(report).filter((text) => /^layers fixed: layer .* is not in the database$/.test(text))).toHaveLength(3);
  expect(problems(await check("?deep=1"))).toEqual([]);
  expect(await daemon.ok("exec", "runs", "cat", "/file")).toBe("content");
  expect(await daemon.ok("run", "--rm", "two:1", "cat", "/file")).toBe("content");
  await daemon.ok("save", "-o", join(daemon.dir, "two.tar"), "two:1");
  await daemon.removeContainers();
  await daemon.ok("rmi", "two:1");
  // it was put aside: a run could have needed it
  await findAndFix([/quarantine found: .*ffff/]);
});

test("a broken event log keeps its whole lines", async () => {
  const path = join(daemon.dataRoot, "events/current");
  await daemon.ok("tag", "busybox", "seen:1");
  truncateSync(path, statSync(path).size - 3);
  appendFileSync(path, "\nno event\n");
  await findAndFix([/events found: .* has 2 broken lines/]);
  await daemon.ok("tag", "busybox", "seen:2");
  await daemon.ok("rmi", "seen:1", "seen:2");
  const names = await daemon.ok(
    "events",
    "--since",
    "1",
    "--until",
    String(Math.ceil(Date.now() / 1000) + 1),
    "--format",
    "{{.Actor.Attributes.name}}",
  );
  expect(names).toContain("seen:2");
  expect(names).not.toContain("seen:1\n");
});

test("a flipped byte in a layer is found by --deep; what runs goes on, and the image can be loaded again", async () => {
  await daemon.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000");
  await daemon.ok("create", "--name", "waits", "busybox", "echo", "again");
  const layers = join(daemon.dataRoot, "snapshots/layers");
  const [file = ""] = [...new Bun.Glob("*/diff/bin/busybox").scanSync({ cwd: layers, absolute: true })];
  Bun.spawnSync(["sh", "-c", `printf X | dd of="$1" bs=1 seek=$(($(stat -c %s "$1") - 1)) conv=notrunc`, "sh", file]);
  expect(problems(await check())).toEqual([]);
  const report = await repair("&deep=1");
  expect(problems(report).join("\n")).toMatch(
    /images fixed: image busybox:latest is damaged: its layer .* is not there\nlayer-contents fixed: layer/,
  );
  expect(report.Left).toBe(0);
  expect(await daemon.ok("exec", "runs", "echo", "fine")).toBe("fine");
  expect(await daemon.ok("inspect", "-f", "{{.State.Error}}", "waits")).toContain("load or pull the image again");
  expect((await daemon.docker("start", "waits")).exitCode).toBe(1);
  await daemon.ok("load", "-q", "-i", await busyboxArchive());
  expect(await daemon.ok("start", "-a", "waits")).toBe("again");
  expect(problems(await check("?deep=1"))).toEqual([]);
  await daemon.ok("rm", "-f", "runs");
  await findAndFix([/quarantine found/], "deep=1");
});

test("an image without its config is forgotten, and told of", async () => {
  const blobs = join(daemon.dataRoot, "content/blobs/sha256");
  for (const name of readdirSync(blobs)) rmSync(join(blobs, name));
  const found = problems(await check());
  expect(found).toHaveLength(1);
  expect(found[0]).toContain("image busybox:latest is damaged: its config can't be read");
  expect((await repair()).Left).toBe(0);
  expect(await daemon.ok("images", "-q")).toBe("");
  expect(problems(await check())).toEqual([]);
});

test("what can't be repaired says what to do, and the command ends with 1", async () => {
  await daemon.ok("create", "--name", "lost", "busybox", "true");
  rmSync(join(daemon.dataRoot, "snapshots/active", await idOf("lost")), { recursive: true });
  const dhow = (...args: string[]) =>
    Bun.spawnSync([process.execPath, join(import.meta.dir, "../../../src/main.ts"), "-H", daemon.host, ...args]);
  const broken = dhow("system", "check", "--repair");
  expect(broken.exitCode).toBe(1);
  expect(broken.stdout.toString()).toMatch(
    /^damaged {2}writable layers of containers \(1\)\n {2}\| container .* has lost its root file system\n {2}> .*create it again$/m,
  );
  await daemon.ok("rm", "lost");
  await daemon.ok("run", "--name", "silent", "busybox", "echo", "lost");
  const log = await daemon.ok("inspect", "-f", "{{.LogPath}}", "silent");
  rmSync(log);
  mkdirSync(log);
  expect(problems(await repair())).toEqual([
    expect.stringContaining(`logs damaged: log of container ${await idOf("silent")} can't be read`),
  ]);
  rmSync(log, { recursive: true });
  await daemon.ok("rm", "silent");
  const well = dhow("system", "check", "--format", "json");
  expect(well.exitCode).toBe(0);
  expect(JSON.parse(well.stdout.toString())).toMatchObject({ Found: 0, Left: 0 });
});

test("a container that was cut off is named until it is restarted", async () => {
  await daemon.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000");
  const links = (): string[] => readdirSync(`/sys/class/net/${daemon.bridge}/brif`);
  const ready = new Set(links());
  await daemon.ok("run", "-d", "--name", "cut", "busybox", "sleep", "1000");
  const index = await daemon.ok("exec", "cut", "cat", "/sys/class/net/eth0/iflink");
  const name = links().find((link) => readFileSync(`/sys/class/net/${link}/ifindex`, "utf8").trim() === index) ?? "";
  expect(ready.has(name)).toBe(true);
  Bun.spawnSync(["ip", "link", "delete", name]);
  expect(problems(await repair())).toEqual([`connections damaged: container ${await idOf("cut")} has lost its interface`]);
  await daemon.ok("restart", "-t", "0", "cut");
  expect(problems(await check())).toEqual([]);
});

test("on a daemon where containers come and go, nothing is found", async () => {
  let isOver = false;
  const archive = await busyboxArchive();
  const work = async (name: string): Promise<void> => {
    for (let i = 0; !isOver; i++) {
      await daemon.ok("run", "--rm", "-v", "/anonymous", "--ipc", "shareable", "busybox", "true");
      await daemon.ok("run", "-d", "--name", `${name}${i}`, "-p", "80", "busybox", "sleep", "1000");
      await daemon.ok("exec", `${name}${i}`, "true");
      await daemon.ok("rm", "-f", `${name}${i}`);
      await daemon.ok("load", "-q", "-i", archive);
    }
  };
  const busy = ["a", "b"].map(work);
  try {
    for (let i = 0; i < 5; i++) expect(problems(await (i % 2 ? repair("&deep=1") : check()))).toEqual([]);
  } finally {
    isOver = true;
    await Promise.all(busy);
  }
  await until("all is quiet", async () => (await check()).Found === 0);
});
