/** `docker export`: a container's file system as a tar. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readTar, type TarHeader } from "../../../src/lib/mod.ts";
import { Daemon, until } from "../daemon.ts";

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

afterEach(() => daemon.removeContainers());

interface Entry {
  readonly header: TarHeader;
  readonly text: string;
}

/** The entries of `docker export -o`, by name without a trailing slash. */
async function exported(name: string): Promise<Map<string, Entry>> {
  const path = join(daemon.dir, "export.tar");
  await daemon.ok("export", "-o", path, name);
  const entries = new Map<string, Entry>();
  for await (const { header, payload } of readTar(Bun.file(path).stream() as unknown as AsyncIterable<Uint8Array>)) {
    const parts: Uint8Array[] = [];
    for await (const part of payload) parts.push(Buffer.from(part));
    const key = header.name.replace(/\/$/, "");
    expect(entries.has(key)).toBe(false);
    entries.set(key, { header, text: Buffer.concat(parts).toString() });
  }
  rmSync(path);
  return entries;
}

test("the image's files and the container's own, without what is mounted: running and stopped", async () => {
  const bound = join(daemon.dir, "bound");
  mkdirSync(bound);
  writeFileSync(join(bound, "host"), "host");
  const script = "echo vol > /data/x; echo own > /own; rm /bin/ls; ln /own /second; mkfifo /pipe; chown 5:6 /own; echo ready; sleep 1000";
  const mounts = ["-v", "/data", "-v", `${bound}:/bound`];
  await daemon.ok("run", "-d", "--name", "cc", ...mounts, "busybox", "sh", "-c", script);
  await until("it is ready", async () => (await daemon.ok("logs", "cc")) === "ready");
  for (const state of ["running", "stopped"]) {
    if (state === "stopped") await daemon.ok("kill", "cc");
    const entries = await exported("cc");
    expect(entries.get("own")).toMatchObject({ text: "own\n", header: { uid: 5, gid: 6, type: "file" } });
    expect(entries.get("second")?.header).toMatchObject({ type: "link", linkName: "own" });
    expect(entries.get("pipe")?.header.type).toBe("fifo");
    expect(entries.get("etc/passwd")?.text).toContain("root:");
    expect(entries.has("bin/ls")).toBe(false);
    for (const empty of ["data", "bound", "dev", "proc", "sys"]) {
      expect(entries.get(empty)?.header.type).toBe("directory");
      expect([...entries.keys()].filter((name) => name.startsWith(`${empty}/`))).toEqual([]);
    }
  }
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
});

test("a container that never ran, with docker's marks", async () => {
  await daemon.ok("create", "--name", "cc", "busybox", "true");
  const entries = await exported("cc");
  expect(entries.get("etc/passwd")?.header.type).toBe("file");
  expect(entries.get(".dockerenv")?.header).toMatchObject({ type: "file", mode: 0o755, size: 0 });
  expect(entries.get("etc/mtab")?.header).toMatchObject({ type: "symlink", linkName: "/proc/mounts" });
  expect(await daemon.ok("diff", "cc")).toBe("");
});

test("what was exported can be imported and runs", async () => {
  await daemon.ok("run", "--name", "cc", "busybox", "sh", "-c", "echo kept > /kept");
  const path = join(daemon.dir, "round.tar");
  await daemon.ok("export", "-o", path, "cc");
  await daemon.ok("import", path, "round:1");
  expect(await daemon.ok("run", "--rm", "round:1", "cat", "/kept")).toBe("kept");
  await daemon.ok("rmi", "round:1");
});

test("it goes to standard output, and not to a terminal", async () => {
  await daemon.ok("create", "--name", "cc", "busybox", "true");
  const { stdout } = daemon.spawn({}, "export", "cc");
  const bytes = Buffer.from(await new Response(stdout).arrayBuffer());
  expect(bytes.length % 512).toBe(0);
  expect(bytes.subarray(-1024).every((byte) => byte === 0)).toBe(true);
  using terminal = daemon.terminal({}, "export", "cc");
  await terminal.sees("cowardly refusing to save to a terminal. Use the -o flag or redirect");
});

test("a container that is removed meanwhile gives no whole archive", async () => {
  await daemon.ok("run", "--name", "cc", "busybox", "sh", "-c", "dd if=/dev/zero of=/big bs=1M count=30 2>/dev/null");
  const response = await fetch("http://d/containers/cc/export", { unix: daemon.socket } as RequestInit);
  const reader = response.body?.getReader();
  let last = (await reader?.read())?.value ?? new Uint8Array();
  await daemon.ok("rm", "cc");
  let failed = false;
  try {
    for (let next = await reader?.read(); next?.value; next = await reader?.read()) last = next.value;
  } catch {
    failed = true;
  }
  expect(failed || !Buffer.from(last).subarray(-1024).equals(Buffer.alloc(1024))).toBe(true);
});

test("errors and the event", async () => {
  expect((await daemon.docker("export", "nosuch")).stderr).toContain("No such container: nosuch");
  await daemon.ok("create", "--name", "cc", "busybox", "true");
  await exported("cc");
  const events = await daemon.ok(
    "events",
    "--since",
    "1",
    "--until",
    `${Date.now() / 1000}`,
    "--filter",
    "event=export",
    "--format",
    "{{.Action}}",
  );
  expect(events.split("\n")).toContain("export");
});
