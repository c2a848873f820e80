import { afterAll, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

/** What a container with these options prints. */
const run = (...args: readonly string[]): Promise<string> => daemon.ok("run", "--rm", ...args);
const sh = (script: string, ...options: readonly string[]): Promise<string> => run(...options, "busybox", "sh", "-c", script);

test("a command's output, error output and exit code come through", async () => {
  const { stdout, stderr, exitCode } = await daemon.docker("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 42");
  expect({ stdout, stderr, exitCode }).toEqual({ stdout: "out\n", stderr: "err\n", exitCode: 42 });
});

test("run -d prints the id and returns at once", async () => {
  const id = await daemon.ok("run", "-d", "--name", "detached", "busybox", "sleep", "1000");
  expect(id).toMatch(/^[0-9a-f]{64}$/);
  expect((await daemon.inspect<{ State: { Running: boolean } }>("detached")).State.Running).toBe(true);
  await daemon.ok("rm", "-f", "detached");
});

test("run --rm leaves nothing", async () => {
  await run("--name", "gone", "-v", "/anonymous", "busybox", "true");
  expect(await daemon.ok("ps", "-aq", "--filter", "name=gone")).toBe("");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("");
  expect(await daemon.residue()).toEqual([]);
});

test("-i passes what is piped in, and its end", async () => {
  const text = "line\n".repeat(100_000);
  const { stdout } = await daemon.dockerWith({ stdin: text }, "run", "--rm", "-i", "busybox", "cat");
  expect(stdout.length).toBe(text.length);
  expect(stdout).toBe(text);
});

test("-a chooses the streams", async () => {
  const script = ["busybox", "sh", "-c", "echo out; echo err >&2"];
  const { stdout, stderr } = await daemon.docker("run", "--rm", "-a", "stderr", ...script);
  expect({ stdout, stderr }).toEqual({ stdout: "", stderr: "err\n" });
});

test("--name: taken, bad, by prefix", async () => {
  const id = await daemon.ok("create", "--name", "named", "busybox");
  const taken = await daemon.docker("create", "--name", "named", "busybox");
  expect(taken.stderr).toContain(
    `Conflict. The container name "/named" is already in use by container "${id}". You have to remove (or rename) that container to be able to reuse that name.`,
  );
  const bad = await daemon.docker("create", "--name", "a b", "busybox");
  expect(bad.stderr).toContain("Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed");
  expect(await daemon.ok("inspect", "-f", "{{.Name}}", id.slice(0, 6))).toBe("/named");
  await daemon.ok("rm", "named");
});

test("--entrypoint, also none", async () => {
  expect(await run("--entrypoint", "echo", "busybox", "a", "b")).toBe("a b");
  const { stderr } = await daemon.docker("run", "--rm", "--entrypoint", "", "busybox");
  // the image's command goes with its entrypoint
  expect(stderr).toContain("no command specified");
});

test("-e and --env-file, values of the client, order", async () => {
  const file = join(daemon.dir, "env");
  writeFileSync(file, "# a comment\nFROM_FILE=one two\nOVER=file\nFROM_CLIENT\n");
  const { stdout } = await daemon.dockerWith(
    { env: { FROM_CLIENT: "yes" } },
    ..."run --rm --env-file".split(" "),
    file,
    ..."-e OVER=flag -e EMPTY= -e NOT_THERE busybox env".split(" "),
  );
  const lines = stdout.trim().split("\n");
  expect(lines).toEqual(expect.arrayContaining(["FROM_FILE=one two", "OVER=flag", "FROM_CLIENT=yes", "EMPTY=", "HOME=/root"]));
  expect(stdout).not.toContain("NOT_THERE");
  expect(lines.some((line) => /^HOSTNAME=[0-9a-f]{12}$/.test(line))).toBe(true);
});

test("-l and --label-file", async () => {
  const file = join(daemon.dir, "labels");
  writeFileSync(file, "from.file=1\n");
  const id = await daemon.ok("create", "-l", "a=b", "-l", "only", "--label-file", file, "busybox");
  expect((await daemon.inspect<{ Config: { Labels: unknown } }>(id)).Config.Labels).toEqual({
    a: "b",
    only: "",
    "from.file": "1",
  });
  await daemon.ok("rm", id);
});

test("-w makes the directory; a relative one is refused", async () => {
  expect(await run("-w", "/new/dir", "busybox", "pwd")).toBe("/new/dir");
  const { stderr, exitCode } = await daemon.docker("run", "--rm", "-w", "new", "busybox", "pwd");
  expect(stderr).toContain("the working directory 'new' is invalid, it needs to be an absolute path");
  expect(exitCode).toBe(125);
});

test("-u and --group-add", async () => {
  expect(await run("-u", "1000:1001", "--group-add", "5", "--group-add", "root", "busybox", "id")).toContain("uid=1000 gid=1001 groups=");
  expect(await sh("id -G", "-u", "1000:1001", "--group-add", "5")).toBe("1001 5");
  for (const [user, text] of [
    ["nosuch", "unable to find user nosuch: no matching entries in passwd file"],
    ["root:nosuch", "unable to find group nosuch: no matching entries in group file"],
    ["4294967296", "uids and gids must be in range 0-2147483647"],
  ]) {
    const { stderr, exitCode } = await daemon.docker("run", "--rm", "-u", user ?? "", "busybox", "id");
    expect(stderr).toContain(text ?? "");
    expect(exitCode).toBe(125);
  }
});

test("-h, --domainname, --add-host", async () => {
  expect(await sh("hostname; cat /etc/hostname; cut -f2 /etc/hosts | tail -n1", "-h", "full.example.org")).toBe(
    "full.example.org\nfull.example.org\nfull.example.org full",
  );
  expect(await sh("hostname; cat /proc/sys/kernel/domainname", "-h", "short", "--domainname", "example.org")).toBe("short\nexample.org");
  expect(await sh("cat /etc/hosts", "--add-host", "one:192.0.2.1", "--add-host", "six:::1")).toMatch(/\n192\.0\.2\.1\tone\n::1\tsix\n/);
  expect(await sh("cat /etc/hosts", "--add-host", "gw:host-gateway")).toContain(`${daemon.gateway}\tgw\n`);
  expect((await daemon.docker("run", "--rm", "-h", "x".repeat(70), "busybox")).stderr).toContain("invalid hostname");
});

test("--dns, --dns-search, --dns-option", async () => {
  const resolv = await sh("cat /etc/resolv.conf", "--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "ndots:3");
  expect(resolv).toContain("nameserver 192.0.2.53\nsearch example.org\noptions ndots:3\n");
});

test("--cidfile", async () => {
  const file = join(daemon.dir, "cid");
  const id = await daemon.ok("create", "--cidfile", file, "busybox");
  expect(readFileSync(file, "utf8")).toBe(id);
  const again = await daemon.docker("create", "--cidfile", file, "busybox");
  expect(again.stderr).toContain("container ID file found, make sure the other container isn't running or delete");
  await daemon.ok("rm", id);
});

test("--pull and --platform", async () => {
  expect((await daemon.docker("run", "--rm", "--pull", "never", "nosuch:img", "true")).stderr).toContain("No such image: nosuch:img");
  expect((await daemon.docker("run", "--rm", "--platform", "nosuch/arch/x/y", "busybox", "true")).exitCode).toBe(125);
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  expect(await run("--platform", `linux/${architecture}`, "busybox", "echo", "ours")).toBe("ours");
});

test("--init reaps and passes signals on", async () => {
  expect(await sh("cat /proc/1/comm", "--init")).not.toBe("sh");
  expect((await daemon.docker("run", "--rm", "--init", "busybox", "sh", "-c", "exit 5")).exitCode).toBe(5);
});

test("what can't be started: docker's words and exit codes", async () => {
  for (const [args, exitCode, text] of [
    [["busybox", "nosuch"], 127, 'exec: "nosuch": executable file not found in $PATH'],
    [["busybox", "/etc"], 126, 'exec: "/etc": is a directory: unknown: permission denied'],
    [["-v", "/etc/passwd:/tmp", "busybox", "true"], 125, "not a directory: unknown: Are you trying to mount a directory onto a file"],
    [["busybox", "/etc/passwd"], 126, 'exec: "/etc/passwd": permission denied'],
    [["--entrypoint", "/nosuch", "busybox"], 127, 'exec: "/nosuch": stat /nosuch: no such file or directory'],
    [["--net", "container:nosuch", "busybox"], 125, "No such container: nosuch"],
    [["--net", "nosuch", "busybox"], 125, "network nosuch not found"],
  ] as const) {
    const result = await daemon.docker("run", "--name", "failing", ...args);
    expect(result.stderr).toContain(text);
    expect(result.exitCode).toBe(exitCode);
    const { State } = await daemon.inspect<{ State: { Status: string; ExitCode: number; Error: string } }>("failing");
    expect(State.Status).toBe("created");
    expect(State.Error).toContain(text);
    await daemon.ok("rm", "failing");
  }
});

test("--rm of what can't be started leaves nothing", async () => {
  await daemon.docker("run", "--rm", "--name", "failing", "-v", "/anonymous", "busybox", "nosuch");
  expect(await daemon.residue()).toEqual([]);
  expect(await daemon.ok("ps", "-aq")).toBe("");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("");
});

test("a new root says that it is a container's", async () => {
  expect(await sh("ls /.dockerenv && readlink /etc/mtab")).toBe("/.dockerenv\n/proc/mounts");
});

test("an empty HOME is none", async () => {
  expect(await sh("echo $HOME", "-e", "HOME=")).toBe("/root");
  expect(await sh("echo $HOME", "-e", "HOME=/elsewhere")).toBe("/elsewhere");
});

test("defaults of older API versions, and the working directory in its shortest form", async () => {
  const made = async (minor: number) => {
    const body = { Image: "busybox", Cmd: ["pwd"], WorkingDir: "/tmp/./x/../" };
    const { json } = await daemon.api<{ Id: string }>("POST", `/v1.${minor}/containers/create`, body);
    return daemon.inspect<{ Config: { WorkingDir: string }; HostConfig: { CgroupnsMode: string } }>(json.Id);
  };
  const isV1 = !existsSync("/sys/fs/cgroup/cgroup.controllers");
  const { CgroupnsMode } = (await made(41)).HostConfig;
  expect(await made(40)).toMatchObject({ Config: { WorkingDir: "/tmp" }, HostConfig: { CgroupnsMode: isV1 ? "host" : CgroupnsMode } });
});
