import { afterAll, beforeAll, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readTar } from "../../../src/lib/mod.ts";
import { tar } from "../archive.ts";
import { Daemon, until } from "../daemon.ts";

const TAR = { "Content-Type": "application/x-tar" };
const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

const here = join(daemon.dir, "local");
const cp = (...args: readonly string[]) => daemon.dockerWith({ cwd: here }, "cp", ...args);
const sh = (script: string, container = "box") => daemon.ok("exec", container, "sh", "-c", script);

async function copied(...args: readonly string[]): Promise<void> {
  const { stderr, exitCode } = await cp(...args);
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
}

/** The names in the archive of a path. */
async function names(path: string, container = "box"): Promise<string[]> {
  const response = await fetch(`http://localhost/containers/${container}/archive?path=${encodeURIComponent(path)}`, {
    unix: daemon.socket,
  });
  const found: string[] = [];
  for await (const { header } of readTar(response.body ?? new ReadableStream())) found.push(header.name);
  return found;
}

beforeAll(async () => {
  mkdirSync(join(here, "src/deep"), { recursive: true });
  writeFileSync(join(here, "file"), "local\n");
  writeFileSync(join(here, "src/a"), "a\n", { mode: 0o600 });
  writeFileSync(join(here, "src/deep/b"), "b\n");
  symlinkSync("a", join(here, "src/link"));
  symlinkSync("src", join(here, "lsrc"));
  await daemon.ok("run", "-d", "--name", "box", "-v", "vol:/vol", "--tmpfs", "/tmpfs", "busybox", "sleep", "1000");
  await sh(
    "mkdir -p /w/dir/sub; echo hello >/w/file; echo s >/w/dir/sub/s; ln -s dir /w/ld; ln -s /none /w/broken; ln /w/file /w/dir/hard",
  );
});

test("files and directories go in", async () => {
  await copied("file", "box:/tmp/new");
  await copied("file", "box:/tmp");
  await copied("src", "box:/tmp/renamed");
  await copied("src/.", "box:/tmp/into/");
  await copied("-L", "lsrc", "box:/tmp");
  await copied("file", "box:/w/ld");
  expect(
    await sh("cat /tmp/new /tmp/file /w/dir/file; cd /tmp; find renamed into lsrc | sort; readlink renamed/link; stat -c %a renamed/a"),
  ).toBe(
    [
      ...[
        "local",
        "local",
        "local",
        "into",
        "into/a",
        "into/deep",
        "into/deep/b",
        "into/link",
        "lsrc",
        "lsrc/a",
        "lsrc/deep",
        "lsrc/deep/b",
      ],
      ...["lsrc/link", "renamed", "renamed/a", "renamed/deep", "renamed/deep/b", "renamed/link", "a", "600"],
    ].join("\n"),
  );
});

test("files and directories come out", async () => {
  await copied("box:/w/file", "out1");
  await copied("box:/w/dir", "out2");
  await copied("box:/w/ld/.", "out3");
  await copied("-L", "box:/w/ld", "out4");
  await copied("box:/w/ld", "out5");
  expect(readFileSync(join(here, "out1"), "utf8")).toBe("hello\n");
  expect(readFileSync(join(here, "out2/sub/s"), "utf8")).toBe("s\n");
  expect(readdirSync(join(here, "out3")).sort()).toEqual(readdirSync(join(here, "out2")).sort());
  expect(statSync(join(here, "out4")).isDirectory()).toBe(true);
  expect(readlinkSync(join(here, "out5"))).toBe("dir");
  // hard links stay together
  await copied("box:/w", "out6");
  expect(lstatSync(join(here, "out6/file")).ino).toBe(lstatSync(join(here, "out6/dir/hard")).ino);
});

test("the working directory is there before the first start", async () => {
  await daemon.ok("create", "--name", "cc", "-w", "/made/for/it", "busybox", "cat", "in");
  expect(await daemon.ok("diff", "cc")).toBe("A /made\nA /made/for\nA /made/for/it");
  writeFileSync(join(here, "in"), "copied\n");
  await copied("in", "cc:/made/for/it");
  expect(await daemon.ok("start", "-a", "cc")).toBe("copied");
  await daemon.ok("rm", "cc");
});

test("archives by standard input and output, compressed ones, too", async () => {
  const archive = tar([
    { name: "d/", type: "directory", mode: 0o755 },
    { name: "d/f", data: "from stdin", uid: 7, gid: 8, mtimeNs: 1_000_000_000_000_000_000n },
  ]);
  await sh("mkdir -p /in/gz /in/zst /in/bz2 /in/xz");
  const packed = { "": archive, "/gz": Bun.gzipSync(archive), "/zst": Bun.zstdCompressSync(archive) };
  for (const [dir, bytes] of Object.entries(packed)) {
    expect((await daemon.dockerWith({ stdin: new Uint8Array(bytes) }, "cp", "-", `box:/in${dir}`)).exitCode).toBe(0);
    expect(await sh(`cat /in${dir}/d/f; stat -c ' %u:%g %Y' /in${dir}/d/f`)).toBe("from stdin 7:8 1000000000");
  }
  for (const [dir, program] of [
    ["bz2", "bzip2"],
    ["xz", "xz"],
  ] as const) {
    if (Bun.which(program) === null) continue;
    const { stdout } = Bun.spawnSync([program, "-c"], { stdin: archive });
    expect((await daemon.dockerWith({ stdin: new Uint8Array(stdout) }, "cp", "-", `box:/in/${dir}`)).exitCode).toBe(0);
    expect(await sh(`cat /in/${dir}/d/f`)).toBe("from stdin");
  }
  expect((await cp("box:/w/file", "-")).stdout).toContain("ustar");
  expect(await names("/w/dir")).toEqual(["dir/", "dir/file", "dir/hard", "dir/sub/", "dir/sub/s"]);
  expect(await names("/w/dir/.")).toEqual(["./", "./file", "./hard", "./sub/", "./sub/s"]);
  expect(await names("/w/ld/")).toEqual(["ld/", "ld/file", "ld/hard", "ld/sub/", "ld/sub/s"]);
  expect(await names("/w/ld")).toEqual(["ld"]);
});

test("the stat header", async () => {
  const stat = async (path: string): Promise<unknown> => {
    const { headers } = await daemon.api("HEAD", `/containers/box/archive?path=${path}`);
    return JSON.parse(Buffer.from(headers.get("x-docker-container-path-stat") ?? "", "base64").toString());
  };
  await sh(
    "mkdir /s; cd /s; echo hi >f; chmod 6755 f; mkfifo p; mknod c c 1 3; mkdir -m 1777 t; ln -s ../s/l2 l1; ln -s /s/none/x l2; touch -d @1000000000 f",
  );
  expect(await stat("/s/f")).toEqual({
    name: "f",
    size: 3,
    mode: 0o755 + 2 ** 23 + 2 ** 22,
    mtime: "2001-09-09T01:46:40Z",
    linkTarget: "",
  });
  expect(await stat("/s/t/")).toMatchObject({ name: "t", mode: 2 ** 31 + 2 ** 20 + 0o777 });
  expect(await stat("/s/p")).toMatchObject({ mode: 2 ** 25 + 0o644 });
  expect(await stat("/s/c")).toMatchObject({ mode: 2 ** 26 + 2 ** 21 + 0o644 });
  expect(await stat("/s/l1")).toMatchObject({ name: "l1", mode: 2 ** 27 + 0o777, linkTarget: "/s/none/x" });
  expect(await stat("/s/.")).toMatchObject({ name: "." });
  expect(await stat("/")).toMatchObject({ name: "/" });
});

test("volumes, tmpfs and the engine's own files are at their places, running or not", async () => {
  await sh("echo v >/vol/v; echo t >/tmpfs/t");
  await daemon.ok("create", "--name", "never", "-v", "vol:/a/vol", "-v", `${here}:/bind:ro`, "busybox");
  expect(await names("/vol")).toEqual(["vol/", "vol/v"]);
  expect(await names("/tmpfs")).toEqual(["tmpfs/", "tmpfs/t"]);
  await copied("file", "box:/tmpfs/in");
  expect(await sh("cat /tmpfs/in")).toBe("local");
  expect((await cp("box:/etc/hosts", "-")).stdout).toContain("127.0.0.1");
  expect((await cp("file", "box:/etc/hosts")).stderr).toContain("unlinkat /etc/hosts: device or resource busy");
  expect(await names("/a/vol", "never")).toEqual(["vol/", "vol/v"]);
  expect(await names("/bind/file", "never")).toEqual(["file"]);
  await copied("file", "never:/a/vol/from-cp");
  await copied("file", "never:/root/in-layer");
  expect((await cp("file", "never:/bind/x")).stderr).toContain("mounted volume is marked read-only");
  expect(await sh("cat /vol/from-cp")).toBe("local");
  expect((await daemon.inspect<{ State: { Status: string } }>("never")).State.Status).toBe("created");
  // nothing of /proc, /sys and /dev but their places
  expect(await names("/proc")).toEqual(["proc/"]);
  expect(await names("/sys/.")).toEqual(["./"]);
});

test("what was put below a tmpfs before the start is found while it runs, unless the tmpfs has something of that name", async () => {
  await daemon.ok("create", "--name", "under", "--tmpfs", "/tmp", "--mount", "type=tmpfs,dst=/root", "busybox", "sleep", "1000");
  for (const path of ["/tmp/a", "/tmp/b", "/root/a"]) await copied("file", `under:${path}`);
  await daemon.ok("start", "under");
  expect(await daemon.ok("exec", "under", "ls", "/tmp", "/root")).not.toContain("a");
  for (const path of ["/tmp/a", "/root/a"]) expect(await names(path, "under")).toEqual(["a"]);
  await daemon.ok("exec", "under", "mkdir", "/tmp/b");
  expect(await names("/tmp/b", "under")).toEqual(["b/"]);
  expect(await names("/tmp", "under")).toEqual(["tmp/", "tmp/b/"]);
  expect((await cp("under:/tmp/c", "-")).stderr).toMatch(
    /Could not find the file \/tmp\/c in container under|No such container:path: under:\/tmp\/c/,
  );
  // what is written goes where the container sees it
  await copied("file", "under:/tmp/a");
  expect(await daemon.ok("exec", "under", "cat", "/tmp/a")).toBe("local");
  await daemon.ok("rm", "-f", "under");
});

test("read-only containers, paused ones, ownership", async () => {
  await daemon.ok(
    "run",
    "-d",
    "--name",
    "ro",
    "--read-only",
    "-v",
    "vol:/vol",
    "-v",
    "vol:/rov:ro",
    "-u",
    "1234:567",
    "busybox",
    "sleep",
    "1000",
  );
  expect((await cp("file", "ro:/tmp")).stderr).toContain("container rootfs is marked read-only");
  expect((await cp("file", "ro:/rov")).stderr).toContain("mounted volume is marked read-only");
  await copied("file", "ro:/vol/x");
  await copied("-a", "file", "ro:/vol/owned");
  expect(await sh("stat -c %u:%g /vol/owned")).toBe("1234:567");
  // a link from where it may be written to where it may not
  const trick = tar([
    { name: "l", type: "symlink", linkName: "/tmp" },
    { name: "l/x", data: "x" },
  ]);
  const { status, json } = await daemon.api("PUT", "/containers/ro/archive?path=/vol", trick, TAR);
  expect([status, json]).toEqual([500, { message: "open /vol/l/x: read-only file system" }]);
  await daemon.ok("pause", "box");
  await copied("file", "box:/tmp/while-paused");
  await copied("box:/w/file", "while-paused");
  await daemon.ok("unpause", "box");
  expect(await sh("cat /tmp/while-paused")).toBe("local");
});

test("bad requests get docker's answers", async () => {
  const get = async (query: string, container = "box") => {
    const { status, json } = await daemon.api<{ message: string }>("GET", `/containers/${container}/archive${query}`);
    return [status, json.message];
  };
  const put = async (path: string, body: Uint8Array = tar([]), query = "") => {
    const { status, json } = await daemon.api<{ message?: string }>("PUT", `/containers/box/archive?path=${path}${query}`, body, TAR);
    return [status, json?.message];
  };
  expect(await get("")).toEqual([400, "bad parameter: pathcannot be empty"]);
  expect(await get("?path=/x", "none")).toEqual([404, "No such container: none"]);
  expect(await get("?path=/none")).toEqual([404, "Could not find the file /none in container box"]);
  expect(await get("?path=/w/file/")).toEqual([500, "lstat /w/file/: not a directory"]);
  expect(await put("/none")).toEqual([404, "Could not find the file /none in container box"]);
  expect(await put("/w/file")).toEqual([400, "extraction point is not a directory"]);
  expect(await put("/w", new Uint8Array(Buffer.from("x".repeat(1000))))).toEqual([
    500,
    expect.stringMatching(/^archive\/tar: invalid tar header/),
  ]);
  expect(await put("/w", tar([{ name: "t", data: "x".repeat(600) }]).slice(0, 900))).toEqual([500, "unexpected EOF"]);
  expect(await put("/w", tar([{ name: "dir", data: "x" }]), "&noOverwriteDirNonDir=1")).toEqual([
    500,
    'cannot overwrite directory "/w/dir" with non-directory "/w"',
  ]);
  expect(await put("/w/dir", tar([{ name: "../up", data: "x" }]))).toEqual([500, '"../up" is outside of "/w/dir"']);
  // a body that nobody reads
  const large = new Uint8Array(64 << 20);
  expect((await put("/none", large))[0]).toBe(404);
});

test("docker's command line refuses what it refuses", async () => {
  const said = async (...args: readonly string[]) => (await cp(...args)).stderr.trim();
  expect(await said("box:/a", "box:/b")).toBe("copying between containers is not supported");
  expect(await said("a", "b")).toBe("must specify at least one container source");
  expect(await said("src", "box:/w/file")).toContain("cannot copy directory");
  expect(await said("file", "box:/tmp/none/")).toContain("no such directory");
  expect(await said("none", "box:/tmp")).toBe(`lstat ${join(here, "none")}: no such file or directory`);
  expect(await said("box:/w/file", "none/x")).toContain("invalid output path: directory");
  expect(await said("box:/w/broken/", "x")).toMatch(
    // older command lines have words of their own
    /Could not find the file \/w\/broken\/ in container|No such container:path: box:\/w\/broken\//,
  );
});

test("events", async () => {
  const since = String(Date.now() / 1000);
  await copied("file", "box:/tmp/e");
  await copied("box:/tmp/e", "e");
  const events = await daemon.ok(
    "events",
    "--since",
    since,
    "--until",
    String(Date.now() / 1000 + 1),
    "--format",
    "{{.Action}} {{.Actor.Attributes.name}}",
  );
  expect(events.split("\n")).toEqual(["extract-to-dir box", "archive-path box"]);
});

test("a client that goes away leaves what was written, and nothing else", async () => {
  const before = readdirSync(`/proc/${daemon.pid}/fd`).length;
  const given = new AbortController();
  const body = new ReadableStream<Uint8Array>({
    start: (controller) =>
      controller.enqueue(
        tar([
          { name: "whole", data: "whole" },
          { name: "cut", data: "x".repeat(1 << 20) },
        ]).slice(0, 4096),
      ),
  });
  const sent = fetch("http://localhost/containers/box/archive?path=/tmp", {
    method: "PUT",
    body,
    unix: daemon.socket,
    signal: given.signal,
    headers: TAR,
  });
  sent.catch(() => {});
  await until("the first file", async () => (await daemon.docker("exec", "box", "cat", "/tmp/whole")).stdout === "whole");
  given.abort();
  const taken = new AbortController();
  const response = await fetch("http://localhost/containers/box/archive?path=/bin", { unix: daemon.socket, signal: taken.signal });
  await response.body?.getReader().read();
  taken.abort();
  await until("the descriptors are closed", () => readdirSync(`/proc/${daemon.pid}/fd`).length <= before);
  expect(await sh("ls /tmp | grep -c tmp- || true")).toBe("0");
});

test("a container starts, stops and goes while its files are read", async () => {
  await daemon.ok("create", "--name", "moving", "busybox", "sleep", "1000");
  const response = await fetch("http://localhost/containers/moving/archive?path=/bin", { unix: daemon.socket });
  const reader = response.body?.getReader();
  await reader?.read();
  await daemon.ok("start", "moving");
  await daemon.ok("exec", "moving", "touch", "/written");
  await daemon.ok("stop", "-t", "0", "moving");
  for (let read = await reader?.read(); !read?.done; read = await reader?.read());
  expect(await names("/written", "moving")).toEqual(["written"]);
  await daemon.ok("start", "moving");
  await daemon.ok("rm", "-f", "moving");
});
