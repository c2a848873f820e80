/** A container that swaps directories and links as fast as it can, and archives that try to get out, must never reach the host. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readTar } from "../../../src/lib/mod.ts";
import { type Entry, tar } from "../archive.ts";
import { Daemon, until } from "../daemon.ts";

const TAR = { "Content-Type": "application/x-tar" };
const SECRET = "the host's own";
const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

/** A directory of the host that no container has; its path is in the container's links. */
const secrets = join(daemon.dir, "secrets");
mkdirSync(join(secrets, "sub"), { recursive: true });
writeFileSync(join(secrets, "file"), SECRET);
writeFileSync(join(secrets, "sub/file"), SECRET);

function expectSecretsUntouched(): void {
  expect(readdirSync(secrets).sort()).toEqual(["file", "sub"]);
  expect(readdirSync(join(secrets, "sub"))).toEqual(["file"]);
  expect(readFileSync(join(secrets, "file"), "utf8") + readFileSync(join(secrets, "sub/file"), "utf8")).toBe(SECRET + SECRET);
}

const put = (container: string, path: string, entries: readonly Entry[]) =>
  daemon.api<{ message: string }>("PUT", `/containers/${container}/archive?path=${path}`, tar(entries), TAR);

/** The contents of the files in the archive of a path; none when there is none. */
async function contents(container: string, path: string): Promise<string[]> {
  const response = await fetch(`http://localhost/containers/${container}/archive?path=${path}`, { unix: daemon.socket });
  if (response.status !== 200) {
    await response.text();
    return [];
  }
  const found: string[] = [];
  for await (const { payload } of readTar(response.body ?? new ReadableStream())) {
    let text = "";
    for await (const part of payload) text += Buffer.from(part).toString();
    found.push(text);
  }
  return found;
}

test("a container that swaps a directory for a link to the host", async () => {
  const volume = join(daemon.dir, "shared");
  mkdirSync(volume);
  const swap = (dir: string) =>
    `mkdir -p ${dir}/d/sub; echo inside >${dir}/d/file; echo inside >${dir}/d/sub/file; ln -s ${secrets} ${dir}/l1; ln -s ../../../../../../../..${secrets} ${dir}/l2; cd ${dir};
     while :; do mv d real; mv l1 d; mv d l1; mv l2 d; mv d l2; mv real d; done`;
  await daemon.ok(
    "run",
    "-d",
    "--name",
    "swapper",
    "-v",
    `${volume}:/vol`,
    "busybox",
    "sh",
    "-c",
    `(${swap("/own")}) & (${swap("/vol")}) & wait`,
  );
  // another container has the same volume: it is stopped, and its files are looked at, too
  await daemon.ok("create", "--name", "still", "-v", `${volume}:/vol`, "-v", `${volume}:/deep/vol:ro`, "busybox", "true");
  await until("the swapping", async () => (await contents("swapper", "/vol/d/sub/file")).length > 0);
  const seen: string[] = [];
  for (let round = 0; round < 12; round++) {
    for (const [container, dir] of [
      ["swapper", "/own"],
      ["swapper", "/vol"],
      ["still", "/vol"],
      ["still", "/deep/vol"],
    ] as const) {
      for (const path of [`${dir}/d/`, `${dir}/d/sub`, `${dir}/d/file`, dir]) seen.push(...(await contents(container, path)));
      await put(container, `${dir}/d`, [
        { name: "sub/new", data: "x" },
        { name: "file", data: "inside\n" },
      ]);
      await put(container, dir, [
        { name: "d/made/x", data: "x" },
        { name: "d/sub/hard", type: "link", linkName: "d/file" },
      ]);
    }
  }
  await daemon.ok("rm", "-f", "swapper");
  expect(seen).toContain("inside\n");
  expect(seen.filter((text) => text.includes(SECRET))).toEqual([]);
  expectSecretsUntouched();
});

test("archives whose names and links lead out", async () => {
  await daemon.ok("run", "-d", "--name", "box", "busybox", "sleep", "1000");
  const depth = "../".repeat(20);
  const tries: readonly (readonly Entry[])[] = [
    [{ name: `${depth}${secrets}/new`, data: "x" }],
    [{ name: `${secrets}/new`, data: "x" }],
    [
      { name: "l", type: "symlink", linkName: secrets },
      { name: "l/new", data: "x" },
    ],
    [
      { name: "l2", type: "symlink", linkName: secrets },
      { name: "l2", type: "directory", mode: 0o777 },
      { name: "l2/new", data: "x" },
    ],
    [
      { name: "l3", type: "symlink", linkName: "/proc/self/root" },
      { name: `l3${secrets}/new`, data: "x" },
    ],
    [{ name: "h", type: "link", linkName: `${depth}${secrets}/file` }],
    [
      { name: "l4", type: "symlink", linkName: secrets },
      { name: "h2", type: "link", linkName: "l4/file" },
    ],
  ];
  for (const entries of tries) await put("box", "/tmp", entries);
  expectSecretsUntouched();
  for (const name of ["h", "h2"]) expect((await daemon.docker("exec", "box", "cat", `/tmp/${name}`)).exitCode).not.toBe(0);
  // a link at the destination, and one that the whole path goes through
  await daemon.ok("exec", "box", "sh", "-c", `mkdir /m; ln -s ${secrets} /m/out; ln -s /proc/self/root /m/proc; ln -s /proc/1/cwd /m/cwd`);
  for (const path of ["/m/out", "/m/out/sub", `/m/proc${secrets}`, `/m/cwd${secrets}`, `/m/../..${secrets}`]) {
    expect((await put("box", path, [{ name: "new", data: "x" }])).status).not.toBe(200);
    expect(await contents("box", `${path}/file`)).toEqual([]);
  }
  expectSecretsUntouched();
});

test("what a container gives out stays in the directory that it is copied to", async () => {
  const local = join(daemon.dir, "local");
  mkdirSync(local);
  await daemon.ok(
    "exec",
    "box",
    "sh",
    "-c",
    `mkdir -p /evil/d; ln -s ${secrets} /evil/d/l; ln -s ${secrets}/file /evil/d/f; ln -s ../../../../..${secrets} /evil/d/up`,
  );
  const ours = [process.execPath, "--no-env-file", "--config=/dev/null", join(import.meta.dir, "../../../src/main.ts")];
  const child = Bun.spawnSync([...ours, "cp", "box:/evil/d", local], {
    env: { ...process.env, DOCKER_HOST: daemon.host, HOME: daemon.dir },
  });
  expect(child.stderr.toString()).toContain("invalid symlink");
  // over what came out the last time
  await daemon.ok("exec", "box", "sh", "-c", "rm -r /evil/d; mkdir -p /evil/d/l; echo x >/evil/d/l/new; echo x >/evil/d/f");
  Bun.spawnSync([...ours, "cp", "box:/evil/d", local], { env: { ...process.env, DOCKER_HOST: daemon.host, HOME: daemon.dir } });
  expectSecretsUntouched();
});

test("devices and FIFOs are never opened, /proc is not there", async () => {
  await daemon.ok("exec", "box", "sh", "-c", "mkdir /n; mkfifo /n/fifo; mknod /n/kmsg c 1 11; mknod /n/zero c 1 5; ln -s /proc /n/proc");
  expect(await contents("box", "/n")).toEqual(["", "", "", "", ""]);
  expect(await contents("box", "/n/zero")).toEqual([""]);
  expect(await contents("box", "/n/proc/kmsg")).toEqual([]);
  expect(await contents("box", "/n/proc/")).toEqual([""]);
});

test("the daemon killed in the middle leaves files in the container only", async () => {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) =>
      controller.enqueue(
        tar([
          { name: "k", data: "x" },
          { name: "k2", data: "x".repeat(1 << 20) },
        ]).slice(0, 8192),
      ),
  });
  await daemon.ok("create", "--name", "stopped", "-v", "kept:/vol", "busybox", "cat", "/k");
  fetch("http://localhost/containers/stopped/archive?path=/", { method: "PUT", body, unix: daemon.socket, headers: TAR }).catch(() => {});
  const upper = async () => (await daemon.inspect<{ GraphDriver: { Data: { UpperDir: string } } }>("stopped")).GraphDriver.Data.UpperDir;
  const dir = await upper();
  await until("the first file", () => readdirSync(dir).includes("k"));
  await daemon.kill9();
  await daemon.launch();
  expect(
    readdirSync(dir)
      .filter((name) => name.startsWith("k"))
      .sort(),
  ).toEqual(["k", "k2"]);
  const mounts = readFileSync(`/proc/${daemon.pid}/mountinfo`, "utf8");
  const id = await daemon.ok("inspect", "-f", "{{.Id}}", "stopped");
  expect(mounts).not.toContain(id);
  expect(await daemon.ok("start", "-a", "stopped")).toBe("x");
  await daemon.removeContainers();
  rmSync(secrets, { recursive: true });
});
