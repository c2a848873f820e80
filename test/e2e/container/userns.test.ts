import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readMountInfo } from "../../../src/linux/mod.ts";
import { Daemon, dockerCliMajor } from "../daemon.ts";

/** Room for four mappings of the usual size, far from ids that anybody has. */
const POOL = { start: 3_000_000_000, size: 4 * 65536 };
const daemon = await Daemon.start({ args: ["--userns-pool", `${POOL.start}:${POOL.size}`] });
afterAll(() => daemon[Symbol.asyncDispose]());

const AUTO = ["--label", "dhow.userns=auto"];
const run = (options: readonly string[], script: string): Promise<string> =>
  daemon.ok("run", "--rm", ...options, "busybox", "sh", "-c", script);
const auto = (script: string, ...options: readonly string[]): Promise<string> => run([...AUTO, ...options], script);
const words = (text: string): readonly (readonly string[])[] => text.split("\n").map((line) => line.trim().split(/\s+/));
const refused = async (...args: readonly string[]): Promise<string> => {
  const { stderr, exitCode } = await daemon.docker(...args);
  expect(exitCode).not.toBe(0);
  return stderr;
};

interface Inspected {
  readonly HostConfig: {
    readonly UsernsMode: string;
    readonly IDMappings?: { readonly UidMap: readonly string[] };
    readonly TimeOffsets?: { readonly Monotonic: number; readonly Boottime: number };
  };
}

async function inspect(name: string): Promise<Inspected["HostConfig"]> {
  return (await daemon.api<Inspected>("GET", `/containers/${name}/json`)).json.HostConfig;
}

/** What the daemon has mounted below its roots for containers. */
function mountsOfContainers(): readonly string[] {
  const mounts = readMountInfo(daemon.pid).map(({ mountPoint }) => mountPoint);
  return mounts.filter((path) => ["rootfs", "scratch", "shm"].some((name) => path.startsWith(`${daemon.execRoot}/${name}/`)));
}

describe("--userns=auto", () => {
  test("the marks that cp finds before the first start are the container's", async () => {
    await daemon.ok("create", "--name", "unstarted", ...AUTO, "busybox", "ls", "-ln", "/.dockerenv");
    await daemon.ok("cp", "unstarted:/.dockerenv", join(daemon.dir, "mark"));
    expect(statSync(join(daemon.dir, "mark")).size).toBe(0);
    expect(await daemon.ok("diff", "unstarted")).toBe("");
    expect(await daemon.ok("start", "-a", "unstarted")).toMatch(/^-rwxr-xr-x +1 0 +0 /);
    await daemon.ok("rm", "unstarted");
  });

  beforeAll(async () => {
    await daemon.ok("run", "-d", "--name", "first", ...AUTO, "--ipc", "shareable", "busybox", "sleep", "1000");
    await daemon.ok("run", "-d", "--name", "second", ...AUTO, "busybox", "sleep", "1000");
  });
  afterAll(() => daemon.ok("rm", "-f", "first", "second"));

  test("every container has ids of its own, which inspect shows", async () => {
    const maps = await Promise.all(["first", "second"].map((name) => daemon.ok("exec", name, "cat", "/proc/self/uid_map")));
    expect(maps.map((map) => words(map)[0])).toEqual([
      ["0", String(POOL.start), "65536"],
      ["0", String(POOL.start + 65536), "65536"],
    ]);
    expect(await inspect("second")).toMatchObject({ UsernsMode: "auto", IDMappings: { UidMap: [`0:${POOL.start + 65536}:65536`] } });
    expect(await run([], "cat /proc/self/uid_map")).toContain("4294967295");
  });

  test("the host's IPC namespace may be shared", async () => {
    const [link = "", shm = ""] = (await auto("readlink /proc/self/ns/ipc; stat -c %u:%a /dev/shm", "--ipc", "host")).split("\n");
    expect(link).toBe(readlinkSync("/proc/self/ns/ipc"));
    // the host's own, which is nobody's here
    expect(shm).toBe("65534:1777");
  });

  test("files have the image's ids on the disk and the container's in it", async () => {
    const made = await auto(
      "touch /made; chown 33:34 /made; stat -c %u:%g / /etc /etc/passwd /etc/hosts /etc/hostname /made /dev/shm /tmp",
    );
    expect(made.split("\n")).toEqual(["0:0", "0:0", "0:0", "0:0", "0:0", "33:34", "0:0", "0:0"]);
    await daemon.ok("exec", "first", "sh", "-c", "echo kept >/kept; chown 7:8 /kept");
    const layers = join(daemon.dataRoot, "snapshots/active");
    const upper = readdirSync(layers).find((id) => statSync(join(layers, id, "diff/kept"), { throwIfNoEntry: false }) !== undefined) ?? "";
    expect(statSync(join(layers, upper, "diff/kept"))).toMatchObject({ uid: 7, gid: 8 });
  });

  test("a volume's files are the same to every mapping and to none; a bind's are the host's", async () => {
    await auto("touch /v/a; chown 33 /v/a", "-v", "userns-volume:/v");
    expect(await auto("stat -c %u /v /v/a; rm /v/a; touch /v/b", "-v", "userns-volume:/v")).toBe("0\n33");
    expect(await run(["-v", "userns-volume:/v"], "stat -c %u /v/b")).toBe("0");
    if (dockerCliMajor >= 26) {
      expect(await auto("stat -c %u /w", "--mount", "type=volume,src=userns-volume,dst=/w,volume-subpath=b")).toBe("0");
    }
    await daemon.ok("volume", "rm", "userns-volume");
    const bind = join(daemon.dir, "bind");
    mkdirSync(bind);
    writeFileSync(join(bind, "secret"), "secret");
    chmodSync(join(bind, "secret"), 0o600);
    expect(
      await auto("stat -c %u /b; cat /b/secret 2>&1; touch /b/x 2>&1", "-v", `${bind}:/b`).catch((error: Error) => error.message),
    ).toMatch(/can't open '\/b\/secret': Permission denied[\s\S]*\/b\/x: Permission denied/);
    const made = join(daemon.dir, "made", "deep");
    await auto("touch /b/x", "-v", `${made}:/b`);
    const owner = statSync(join(made, "x")).uid;
    expect(owner).toBeGreaterThanOrEqual(POOL.start);
    expect([statSync(made).uid, statSync(join(made, "..")).uid]).toEqual([owner, owner]);
  });

  test("root is root in its namespaces, and nobody outside", async () => {
    expect(await auto("ip link set eth0 down && echo down", "--cap-add", "NET_ADMIN")).toBe("down");
    expect(
      await auto(
        "cat /proc/sys/net/ipv4/ping_group_range; ping -c 1 $(ip route | sed -n 's/.*via \\([0-9.]*\\).*/\\1/p') | grep -c ' 0% '",
      ),
    ).toBe("0\t65535\n1");
    expect(await auto("mount | grep -c '^sysfs on /sys type sysfs (ro'; mount | grep -c ^mqueue")).toBe("1\n1");
    expect(await auto("mkdir /m; mount -t tmpfs none /m && unshare -U true && echo may", "--cap-add", "SYS_ADMIN")).toBe("may");
    for (const script of ["mknod /n c 1 3", "mount -t tmpfs none /mnt", "unshare -U true", "echo 1 >/proc/sys/kernel/panic"]) {
      expect(await refused("run", "--rm", ...AUTO, "busybox", "sh", "-c", script)).toMatch(/not permitted|denied|Read-only/);
    }
    const pid = Number((await daemon.ok("inspect", "-f", "{{.State.Pid}}", "first")) || 0);
    expect(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]).toBe(String(POOL.start));
  });

  test("standard streams, terminals and exec belong to who uses them", async () => {
    const both = "echo out >/dev/stdout; echo err >/dev/stderr";
    for (const user of ["0", "1000:1000"]) {
      expect((await daemon.docker("run", "--rm", ...AUTO, "-u", user, "busybox", "sh", "-c", both)).stderr).toBe("err\n");
      expect(await daemon.docker("exec", "-u", user, "first", "sh", "-c", both)).toEqual({ stdout: "out\n", stderr: "err\n", exitCode: 0 });
    }
    expect(await auto("echo x >/dev/tty; tty; stat -c %u $(tty)", "-t")).toMatch(/^x\r?\n\/dev\/pts\/0\r?\n0/);
    expect((await daemon.dockerWith({ stdin: "in" }, "exec", "-i", "first", "cat")).stdout).toBe("in");
    await daemon.ok("exec", "first", "true");
    // crun gives its standard streams away; the host's null device is not to be among them
    expect(statSync("/dev/null")).toMatchObject({ uid: 0, gid: 0 });
    expect(await auto("stat -c %u /t; touch /t/x", "--tmpfs", "/t:mode=700", "--read-only", "-w", "/t")).toBe("0");
  });

  test("files copied in and out have the ids that the container sees", async () => {
    const dir = join(daemon.dir, "copied");
    mkdirSync(dir);
    writeFileSync(join(dir, "f"), "text");
    Bun.spawnSync(["chown", "33:44", join(dir, "f")]);
    for (const [place, name] of [
      ["/tmp", "first"],
      ["/v", "copies"],
      ["/t", "copies"],
    ] as const) {
      if (place === "/v")
        await daemon.ok("run", "-d", "--name", "copies", ...AUTO, "-v", "/v", "--tmpfs", "/t", "busybox", "sleep", "1000");
      await daemon.ok("cp", "-a", dir, `${name}:${place}`);
      expect(await daemon.ok("exec", name, "stat", "-c", "%u:%g", `${place}/copied`, `${place}/copied/f`)).toBe("0:0\n33:44");
      const tar = daemon.spawn({}, "cp", `${name}:${place}/copied`, "-");
      const listed = Bun.spawn(["tar", "-tvf", "-", "--numeric-owner"], { stdin: tar.stdout, stdout: "pipe" });
      expect(words((await listed.stdout.text()).trim()).map((row) => row[1])).toEqual(["0/0", "33/44"]);
    }
    await daemon.ok("rm", "-fv", "copies");
  });

  test("who shares another container's namespaces is in its user namespace", async () => {
    const namespaces = "readlink -f /proc/self/ns/user; cat /proc/self/uid_map";
    const donor = await daemon.ok("exec", "first", "sh", "-c", namespaces);
    for (const shared of [["--network"], ["--ipc"], ["--pid"], ["--network", "--ipc", "--pid"]]) {
      const options = shared.flatMap((option) => [option, "container:first"]);
      expect(await auto(`${namespaces}; ip link set lo up && touch /dev/shm/x`, ...options, "--cap-add", "NET_ADMIN")).toBe(donor);
    }
    const mixed = ["--network", "container:first", "--pid", "container:second"];
    expect(await refused("run", "--rm", ...AUTO, ...mixed, "busybox", "true")).toContain("it has another user namespace mapping");
    await daemon.ok("run", "-d", "--name", "plain", "busybox", "sleep", "1000");
    expect(await refused("run", "--rm", ...AUTO, "--network", "container:plain", "busybox", "true")).toContain(
      "it is in the host's user namespace",
    );
    await daemon.ok("rm", "-f", "plain");
  });

  test("what user namespaces exclude is refused in docker's words", async () => {
    const create = (...options: readonly string[]): Promise<string> => refused("create", ...AUTO, ...options, "busybox");
    expect(await create("--privileged")).toContain(
      "privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode",
    );
    expect(await create("--network", "host")).toContain("cannot share the host's network namespace when user namespaces are enabled");
    expect(await create("--pid", "host")).toContain("cannot share the host PID namespace when user namespaces are enabled");
    expect(await create("--userns", "host")).toContain("conflicting options");
    expect(await refused("create", "--label", "dhow.userns=host", "busybox")).toContain("it takes auto[:OPTIONS]");
    expect(await refused("create", "--label", "dhow.userns=auto:sise=5", "busybox")).toContain('unknown option "sise=5"');
    const { status, text } = await daemon.api("POST", "/containers/create", { Image: "busybox", HostConfig: { UsernsMode: "keep-id" } });
    expect([status, JSON.parse(text)]).toEqual([400, { message: "invalid USER mode: keep-id" }]);
  });

  test("an image asks for nothing", async () => {
    const archive = join(daemon.dir, "empty.tar");
    Bun.spawnSync(["tar", "-cf", archive, "--files-from", "/dev/null"]);
    await daemon.ok("import", "-c", "LABEL dhow.userns=auto dhow.time-offset=boottime=5", "-c", "CMD x", archive, "asking");
    await daemon.ok("create", "--name", "asked", "asking");
    expect(await inspect("asked")).toMatchObject({ UsernsMode: "" });
    expect(Object.keys(await inspect("asked"))).not.toContain("IDMappings");
    expect(Object.keys(await inspect("asked"))).not.toContain("TimeOffsets");
    await daemon.ok("rm", "asked");
    await daemon.ok("rmi", "asking");
  });

  test("sizes and fixed ids; the pool runs out, and removal gives back", async () => {
    const options = ["--label", "dhow.userns=auto:size=1000,uidmapping=5:4000000000:1"];
    expect(words(await run(options, "cat /proc/self/uid_map"))).toEqual([
      ["0", String(POOL.start + 2 * 65536), "5"],
      ["5", "4000000000", "1"],
      ["6", String(POOL.start + 2 * 65536 + 5), "994"],
    ]);
    for (const name of ["third", "fourth"]) await daemon.ok("create", "--name", name, ...AUTO, "busybox");
    expect(await refused("create", ...AUTO, "busybox")).toContain(
      `of the ${POOL.size} ids of --userns-pool=${POOL.start}:${POOL.size} containers have ${POOL.size}`,
    );
    expect(await refused("create", "--label", `dhow.userns=auto:uidmapping=0:${POOL.start}:1`, "busybox")).toContain(
      "belong to other containers",
    );
    await daemon.ok("rm", "third");
    const [many] = await Promise.all([1, 2, 3].map(() => daemon.docker("create", ...AUTO, "busybox")));
    expect(many?.exitCode === 0 || many?.stderr.includes("ids in a row are left")).toBe(true);
    const created = (await daemon.ok("ps", "-aq", "--no-trunc", "--filter", "status=created")).split("\n");
    const starts = await Promise.all(created.map(async (id) => (await inspect(id)).IDMappings?.UidMap[0]));
    expect(new Set(starts).size).toBe(2);
    await daemon.ok("rm", ...created);
  });

  test("a killed daemon loses no mapping and leaves no mount", async () => {
    await daemon.ok("run", "-d", "--name", "killed", ...AUTO, "-v", "/v", "busybox", "sleep", "1000");
    const before = await inspect("killed");
    const starting = daemon.docker("run", "--rm", ...AUTO, "-v", "/v", "busybox", "true");
    await daemon.kill9();
    await starting;
    await daemon.launch();
    expect(await inspect("killed")).toMatchObject({ IDMappings: { ...before.IDMappings } });
    expect(await daemon.ok("exec", "killed", "sh", "-c", "touch /after /v/after; stat -c %u /after /v/after")).toBe("0\n0");
    await daemon.ok("restart", "-t", "0", "killed");
    expect(await inspect("killed")).toMatchObject({ IDMappings: { ...before.IDMappings } });
    await daemon.ok("rm", "-fv", "killed");
    const running = ["first", "second"].map((name) => daemon.ok("inspect", "-f", "{{.Id}}", name));
    const expected = new Set((await Promise.all(running)).map((id) => `${daemon.execRoot}/rootfs/${id}`));
    expect(mountsOfContainers().filter((path) => !expected.has(path) && !path.startsWith(`${daemon.execRoot}/shm/`))).toEqual([]);
  });
});

describe("time namespaces", () => {
  const OFFSET = ["--label", "dhow.time-offset=monotonic=1000,boottime=500000"];
  const offsets = /^monotonic\s+1000\s+0\nboottime\s+500000\s+0$/;

  test("clocks are as far off as asked, for exec and health checks, too, with and without a user namespace", async () => {
    for (const userns of [[], AUTO]) {
      await daemon.ok("run", "-d", "--name", "later", ...OFFSET, ...userns, "busybox", "sleep", "1000");
      expect(await daemon.ok("exec", "later", "cat", "/proc/1/timens_offsets")).toMatch(offsets);
      const uptime = Number((await daemon.ok("exec", "later", "cut", "-d.", "-f1", "/proc/uptime")) || 0);
      const own = Number(readFileSync("/proc/uptime", "utf8").split(".")[0]);
      expect(Math.abs(uptime - own - 500000)).toBeLessThan(60);
      expect(await inspect("later")).toMatchObject({ TimeOffsets: { Monotonic: 1000, Boottime: 500000 } });
      await daemon.ok("rm", "-f", "later");
    }
    expect(await run(OFFSET, "cat /proc/self/timens_offsets")).toMatch(offsets);
  });

  test("what is no offset, or would put a clock before its zero, is refused", async () => {
    expect(await refused("create", "--label", "dhow.time-offset=boottime=5m", "busybox")).toContain(
      "it must be monotonic=SECONDS,boottime=SECONDS",
    );
    expect(await refused("create", "--label", "dhow.time-offset=boottime=-4000000000", "busybox")).toContain("can't be before 0");
  });
});
