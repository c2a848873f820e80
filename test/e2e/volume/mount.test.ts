import { afterAll, afterEach, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, dockerCliMajor, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

const sh = (script: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "--rm", ...options, "busybox", "sh", "-c", script);
const refused = async (...options: readonly string[]): Promise<string> => {
  const { stderr, exitCode } = await daemon.docker("run", "--rm", ...options, "busybox", "true");
  expect(exitCode).toBe(125);
  return stderr;
};
function folder(name: string): string {
  const path = join(daemon.dir, "binds", name);
  mkdirSync(path, { recursive: true });
  return path;
}

test("bind mounts: written both ways, read-only, made when missing, a single file", async () => {
  const dir = folder("plain");
  writeFileSync(join(dir, "in"), "from the host");
  expect(await sh("cat /b/in; echo out > /b/out", "-v", `${dir}:/b`)).toBe("from the host");
  expect(readFileSync(join(dir, "out"), "utf8")).toBe("out\n");
  expect((await daemon.docker("run", "--rm", "-v", `${dir}:/b:ro`, "busybox", "touch", "/b/x")).stderr).toContain("Read-only file system");
  expect(await sh("cat /file", "-v", `${join(dir, "in")}:/file:ro`)).toBe("from the host");
  const missing = join(dir, "made/for/you");
  await sh("touch /b/x", "-v", `${missing}:/b`);
  expect(existsSync(join(missing, "x"))).toBe(true);
  expect(await sh("cat /file", "-v", `${join(dir, "in")}:/file`)).toBe("from the host");
  expect(await refused("--mount", "type=bind,src=/nosuch,dst=/x")).toContain(
    'invalid mount config for type "bind": bind source path does not exist: /nosuch',
  );
});

test("propagation", async () => {
  const dir = folder("propagation");
  const flags = async (option: string): Promise<string> =>
    sh("grep ' /b ' /proc/self/mountinfo | cut -d' ' -f7", "-v", `${dir}:/b${option}`);
  expect(await flags("")).not.toMatch(/shared|master/);
  const { Mounts } = await daemon.inspect<{ Mounts: readonly { Propagation: string; RW: boolean; Mode: string }[] }>(
    await daemon.ok("create", "-v", `${dir}:/b:ro,rslave`, "busybox"),
  );
  expect(Mounts[0]).toMatchObject({ Propagation: "rslave", RW: false, Mode: "ro,rslave" });
});

test("named volumes: kept, shared, in use", async () => {
  await sh("echo kept > /v/file", "-v", "named:/v");
  expect(await sh("cat /v/file", "-v", "named:/v:ro")).toBe("kept");
  await daemon.ok("create", "--name", "user", "-v", "named:/v", "busybox");
  const id = await daemon.ok("inspect", "-f", "{{.Id}}", "user");
  expect((await daemon.docker("volume", "rm", "named")).stderr).toContain(`remove named: volume is in use - [${id}]`);
  await daemon.ok("rm", "user");
  await daemon.ok("volume", "rm", "named");
  expect((await daemon.docker("volume", "inspect", "named")).stderr).toMatch(/no such volume/i);
});

test("copy-up: content, owner and mode of the image's directory, once", async () => {
  await daemon.ok(
    "run",
    "--name",
    "maker",
    "busybox",
    "sh",
    "-c",
    "mkdir -p /seed/sub && echo one > /seed/sub/f && ln -s sub/f /seed/l && chmod 751 /seed && chown 5:6 /seed",
  );
  // no commit yet: an image of this tree comes from an archive
  const { stdout } = await daemon.docker("run", "--rm", "busybox", "true");
  expect(stdout).toBe("");
  expect(await sh("cat /etc/passwd", "-v", "up:/etc")).toContain("root");
  await sh("echo changed > /etc/passwd; rm /etc/group", "-v", "up:/etc");
  expect(await sh("cat /etc/passwd; ls /etc/group 2>&1 | head -n1; true", "-v", "up:/etc")).toStartWith("changed\n");
  expect(await sh("ls /etc", "-v", "empty:/etc", "--mount", "type=volume,src=fresh,dst=/other")).toContain("passwd");
  expect(await sh("ls /etc | grep -c passwd; true", "--mount", "type=volume,src=nocopy,dst=/etc,volume-nocopy")).toBe("0");
  await daemon.ok("rm", "maker");
  await daemon.ok("volume", "rm", "up", "empty", "fresh", "nocopy");
});

test("copy-up into a part of a volume, which no link leads out of", async () => {
  await sh("mkdir -p /v/empty; ln -s / /v/out", "-v", "parts:/v");
  const outcome = async (Subpath: string, Target: string): Promise<readonly [number, string]> => {
    const HostConfig = { Mounts: [{ Type: "volume", Source: "parts", Target, VolumeOptions: { Subpath } }] };
    const made = await daemon.api<{ Id: string }>("POST", "/containers/create", { Image: "busybox", Cmd: ["true"], HostConfig });
    const { status, text } = await daemon.api("POST", `/containers/${made.json.Id}/start`);
    await daemon.ok("rm", "-f", made.json.Id);
    return [status, text];
  };
  expect((await outcome("empty", "/etc"))[0]).toBe(204);
  expect(await sh("cat /v/empty/passwd", "-v", "parts:/v")).toContain("root");
  const [status, text] = await outcome("out/etc", "/x");
  expect(status).toBe(400);
  expect(text).toMatch(/path concatenation escapes the base directory, base: .*\/parts\/_data, subpath: out\/etc/);
  expect((await outcome("none", "/x"))[0]).toBe(404);
  await daemon.ok("volume", "rm", "parts");
});

test("anonymous volumes, and --volumes-from", async () => {
  await daemon.ok(
    "run",
    "-d",
    "--name",
    "owner",
    "-v",
    "/data",
    "-v",
    "other:/other",
    "busybox",
    "sh",
    "-c",
    "echo mine > /data/f; sleep 1000",
  );
  await until("the file", async () => (await daemon.docker("exec", "owner", "cat", "/data/f")).stdout === "mine\n");
  expect(await sh("cat /data/f; ls -d /other", "--volumes-from", "owner")).toBe("mine\n/other");
  expect((await daemon.docker("run", "--rm", "--volumes-from", "owner:ro", "busybox", "touch", "/data/x")).stderr).toContain(
    "Read-only file system",
  );
  await daemon.ok("rm", "-f", "-v", "owner");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("other");
  await daemon.ok("volume", "rm", "other");
});

test("a bind that is not recursive shows nothing that is mounted below it", async () => {
  const places = async (HostConfig: object): Promise<string> => {
    const body = { Image: "busybox", Cmd: ["sh", "-c", "grep -c ' /d/' /proc/self/mountinfo; ls /d/null"], HostConfig };
    const { json } = await daemon.api<{ Id: string }>("POST", "/containers/create", body);
    return daemon.ok("start", "-a", json.Id);
  };
  const bind = { Type: "bind", Source: "/dev", Target: "/d" };
  expect(await places({ Mounts: [bind] })).toMatch(/^[1-9]\d*\n\/d\/null$/);
  expect(await places({ Mounts: [{ ...bind, BindOptions: { NonRecursive: true } }] })).toBe("0\n/d/null");
  expect(await places({ Mounts: [{ ...bind, ReadOnly: true, BindOptions: { NonRecursive: true } }] })).toBe("0\n/d/null");
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
});

test("what is mounted below a read-only bind is read-only, too, from API 1.44 on", async () => {
  const create = async (minor: number, binds: object): Promise<string> => {
    const body = { Image: "busybox", Cmd: ["sh", "-c", "grep ' /d/shm ' /proc/self/mountinfo"], HostConfig: binds };
    const { json } = await daemon.api<{ Id: string }>("POST", `/v1.${minor}/containers/create`, body);
    return daemon.ok("start", "-a", json.Id);
  };
  for (const binds of [{ Binds: ["/dev:/d:ro"] }, { Mounts: [{ Type: "bind", Source: "/dev", Target: "/d", ReadOnly: true }] }]) {
    expect(await create(43, binds)).toContain(" /d/shm rw,");
    expect(await create(44, binds)).not.toContain(" /d/shm rw,");
  }
  await daemon.removeContainers();
});

test("tmpfs, by --tmpfs and by --mount", async () => {
  expect(
    await sh(
      "stat -c '%a %u' /t; df -k /t | tail -n1 | awk '{print $2}'; grep ' /t ' /proc/mounts",
      "--tmpfs",
      "/t:size=1m,mode=700,uid=5",
    ),
  ).toMatch(/^700 5\n1024\ntmpfs \/t tmpfs rw,nosuid,nodev,noexec/);
  expect(
    await sh("stat -c %a /t; df -k /t | tail -n1 | awk '{print $2}'", "--mount", "type=tmpfs,dst=/t,tmpfs-size=2m,tmpfs-mode=0711"),
  ).toBe("711\n2048");
});

test("mounts inside mounts, in any order", async () => {
  const dir = folder("outer");
  expect(
    await sh("ls /a; cat /a/b/f", "--tmpfs", "/a/b/c", "-v", `${folder("inner")}:/a/b`, "-v", `${dir}:/a`).catch((e: Error) => e.message),
  ).toContain("b");
});

test("what can't be mounted", async () => {
  expect(await refused("-v", "/a:/b:foo")).toContain("invalid mode: foo");
  expect(await refused("-v", "/tmp:/x", "-v", "/var:/x")).toContain("Duplicate mount point: /x");
  expect(await refused("-v", "foo:/")).toContain("invalid specification: destination can't be '/'");
  expect(await refused("-v", "foo:rel")).toMatch(/mount path must be absolute/);
  expect(await refused("-v", "!x:/b")).toContain("includes invalid characters for a local volume name");
});

test("volume create, ls, inspect, prune", async () => {
  expect(await daemon.ok("volume", "create", "--label", "a=b", "one")).toBe("one");
  expect(await daemon.ok("volume", "create", "one")).toBe("one");
  expect(await daemon.ok("volume", "create")).toMatch(/^[0-9a-f]{64}$/);
  expect(await daemon.ok("volume", "inspect", "-f", "{{.Name}} {{.Driver}} {{.Scope}} {{json .Labels}}", "one")).toBe(
    'one local local {"a":"b"}',
  );
  expect(await daemon.ok("volume", "ls", "-q", "--filter", "label=a")).toBe("one");
  expect(await daemon.ok("volume", "ls", "-q", "--filter", "name=on")).toBe("one");
  expect((await daemon.docker("volume", "create", "-d", "nosuch")).stderr).toContain(
    'error looking up volume plugin nosuch: plugin "nosuch" not found',
  );
  expect((await daemon.docker("volume", "create", "-o", "foo=bar", "bad")).stderr).toContain('invalid option: "foo"');
  if (dockerCliMajor < 23) {
    // before API 1.42, a prune takes the named ones, too
    expect(await daemon.ok("volume", "prune", "-f")).toContain("one");
  } else {
    expect(await daemon.ok("volume", "prune", "-f")).not.toContain("one");
    expect(await daemon.ok("volume", "ls", "-q")).toBe("one");
    expect(await daemon.ok("volume", "prune", "-af")).toContain("one");
  }
  expect((await daemon.docker("volume", "rm", "one")).stderr).toMatch(/get one: no such volume|No such volume: one/);
  await daemon.ok("volume", "rm", "-f", "one");
});

test("a volume of the local driver with options is mounted", async () => {
  await daemon.ok(..."volume create -o type=tmpfs -o device=tmpfs -o o=size=1m,uid=7 mem".split(" "));
  expect(await sh("df -k /m | tail -n1 | awk '{print $2}'; stat -c %u /m", "-v", "mem:/m")).toBe("1024\n7");
  await daemon.ok("volume", "rm", "mem");
});

test("a bind of a directory keeps the host's modes", async () => {
  const dir = folder("modes");
  chmodSync(dir, 0o1777);
  expect(await sh("stat -c %a /m", "-v", `${dir}:/m`)).toBe("1777");
  expect(statSync(dir).mode & 0o7777).toBe(0o1777);
});
