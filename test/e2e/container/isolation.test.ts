import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { Daemon } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

const run = (...args: readonly string[]): Promise<string> => daemon.ok("run", "--rm", ...args);
const sh = (script: string, ...options: readonly string[]): Promise<string> => run(...options, "busybox", "sh", "-c", script);
const refused = async (...options: readonly string[]): Promise<string> => {
  const { stderr, exitCode } = await daemon.docker("run", "--rm", ...options, "busybox", "true");
  expect(exitCode).toBe(125);
  return stderr;
};
const field = (status: string, name: string): string => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "";
const status = async (...options: readonly string[]): Promise<string> => run(...options, "busybox", "cat", "/proc/self/status");
const bounding = BigInt(`0x${field(readFileSync("/proc/self/status", "utf8"), "CapBnd")}`);
/** Docker's default set. */
const DEFAULT_CAPS = 0xa80425fbn;
const cap = (bit: number): bigint => 1n << BigInt(bit);
const caps = async (...options: readonly string[]): Promise<bigint> => BigInt(`0x${field(await status(...options), "CapEff")}`);

beforeAll(async () => {
  await daemon.ok("run", "-d", "--name", "donor", "--ipc", "shareable", "-h", "donor-host", "busybox", "sleep", "1000");
});

test("every namespace is its own", async () => {
  const own = ["mnt", "pid", "net", "ipc", "uts"].map((name) => readlinkSync(`/proc/self/ns/${name}`));
  const theirs = (await sh("for n in mnt pid net ipc uts; do readlink /proc/self/ns/$n; done")).split("\n");
  for (const [index, namespace] of theirs.entries()) expect(namespace).not.toBe(own[index] ?? "");
  expect(await run("busybox", "cat", "/proc/self/status")).toContain("\nPid:\t1\n");
});

test("capabilities: the default set, add, drop, privileged, not root", async () => {
  expect(await caps()).toBe(DEFAULT_CAPS & bounding);
  expect(await caps("--cap-add", "net_admin")).toBe((DEFAULT_CAPS | cap(12)) & bounding);
  expect(await caps("--cap-add", "CAP_SYS_ADMIN")).toBe((DEFAULT_CAPS | cap(21)) & bounding);
  expect(await caps("--cap-drop", "ALL")).toBe(0n);
  expect(await caps("--cap-drop", "all", "--cap-add", "CHOWN")).toBe(1n);
  expect(await caps("--cap-add", "ALL", "--cap-drop", "CHOWN")).toBe(bounding & ~1n);
  expect(await caps("--privileged")).toBe(bounding);
  expect(await caps("-u", "1000")).toBe(0n);
  expect(await refused("--cap-add", "nosuch")).toContain('invalid CapAdd: unknown capability: "CAP_NOSUCH"');
});

test("seccomp: the default, unconfined, a profile of one's own", async () => {
  expect(field(await status(), "Seccomp")).toBe("2");
  expect(field(await status("--security-opt", "seccomp=unconfined"), "Seccomp")).toBe("0");
  expect(field(await status("--privileged"), "Seccomp")).toBe("0");
  expect((await daemon.docker("run", "--rm", "busybox", "unshare", "-m", "true")).exitCode).not.toBe(0);
  expect(await sh("unshare -m true && echo may", "--cap-add", "SYS_ADMIN")).toBe("may");
  const profile = join(daemon.dir, "seccomp.json");
  writeFileSync(
    profile,
    JSON.stringify({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" }] }),
  );
  expect(await sh("mkdir /x 2>&1 || touch /y && echo touched", "--security-opt", `seccomp=${profile}`)).toContain(
    "Operation not permitted",
  );
  await using strict = await Daemon.start({ args: ["--seccomp-profile", profile] });
  const make = (...options: readonly string[]) => strict.docker("run", "--rm", ...options, "busybox", "mkdir", "/x");
  expect((await make()).stderr).toContain("Operation not permitted");
  expect((await make("--security-opt", "seccomp=unconfined")).exitCode).toBe(0);
  expect((await make("--privileged")).exitCode).toBe(0);
  expect(await strict.ok("info", "-f", "{{.SecurityOptions}}")).toContain(`name=seccomp,profile=${profile}`);
});

test("no-new-privileges", async () => {
  expect(field(await status("--security-opt", "no-new-privileges"), "NoNewPrivs")).toBe("1");
  expect(field(await status(), "NoNewPrivs")).toBe("0");
  expect(await refused("--security-opt", "foo=bar")).toContain('invalid --security-opt 2: "foo=bar"');
});

test("masked and read-only paths", async () => {
  expect(
    await sh("cat /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware /proc/acpi 2>/dev/null | grep -v : | grep -c .; true"),
  ).toBe("0\n0");
  const { stdout } = await daemon.docker(
    "run",
    "--rm",
    "busybox",
    "sh",
    "-c",
    "for f in /proc/sys/kernel/shmmax /proc/sysrq-trigger /sys/kernel/profiling; do (echo 0 > $f) 2>/dev/null && echo wrote $f; done; mkdir /sys/fs/cgroup/memory/x 2>/dev/null && echo made; true",
  );
  expect(stdout).toBe("");
  expect(await sh("cat /proc/keys | wc -c", "--privileged")).not.toBe("0");
});

test("--read-only", async () => {
  expect((await daemon.docker("run", "--rm", "--read-only", "busybox", "touch", "/x")).stderr).toContain("Read-only file system");
  expect(await sh("touch /tmp/x /dev/shm/y && echo fine", "--read-only", "--tmpfs", "/tmp")).toBe("fine");
  expect((await daemon.docker("run", "--rm", "--read-only", "busybox", "sh", "-c", "echo >> /etc/hosts")).exitCode).not.toBe(0);
});

test("devices", async () => {
  expect(await sh("ls /dev")).toContain("null");
  expect(await run("--device", "/dev/zero:/dev/nought", "busybox", "head", "-c", "1", "/dev/nought")).toHaveLength(1);
  expect((await daemon.docker("run", "--rm", "--device", "/dev/nosuch", "busybox")).stderr).toContain("/dev/nosuch");
  // a device that is made inside is out of bounds
  expect((await daemon.docker("run", "--rm", "busybox", "sh", "-c", "mknod /x c 1 11 && head -c 1 /x")).stderr).toMatch(
    /Operation not permitted/,
  );
  expect(await sh("mknod /x c 1 5 && head -c 3 /x | wc -c", "--device-cgroup-rule", "c 1:5 rwm")).toBe("3");
  expect(await refused("--device-cgroup-rule", "foo")).toContain("invalid device cgroup format 'foo'");
});

test("--sysctl, --ulimit, --shm-size, --oom-score-adj", async () => {
  expect(
    await sh(
      "cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni",
      "--sysctl",
      "net.ipv4.ip_forward=0",
      "--sysctl",
      "kernel.shmmni=7",
    ),
  ).toBe("0\n7");
  expect(await refused("--sysctl", "foo.bar=1")).toContain("foo.bar");
  expect(await sh("cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/net/ipv4/ping_group_range")).toMatch(/^0\n0\s+2147483647$/);
  expect(await sh("ulimit -n; ulimit -Hn", "--ulimit", "nofile=100:200")).toBe("100\n200");
  expect(await sh("df -k /dev/shm | tail -n1 | awk '{print $2}'")).toBe("65536");
  expect(await sh("df -k /dev/shm | tail -n1 | awk '{print $2}'", "--shm-size", "10m")).toBe("10240");
  expect(await sh("cat /proc/self/oom_score_adj", "--oom-score-adj", "500")).toBe("500");
  expect(await refused("--oom-score-adj", "5000")).toContain("[-1000, 1000]");
});

test("--pid host, container:", async () => {
  expect(readlinkSync("/proc/self/ns/pid")).toBe(await run("--pid", "host", "busybox", "readlink", "/proc/self/ns/pid"));
  expect(await run("--pid", "container:donor", "busybox", "ps")).toContain("sleep 1000");
  expect(await refused("--pid", "foo")).toContain("--pid: invalid PID mode");
  expect(await refused("--pid", "container:nosuch")).toContain("No such container: nosuch");
});

test("--ipc private, shareable, host, none, container:", async () => {
  await daemon.ok("exec", "donor", "sh", "-c", "echo shared > /dev/shm/file");
  expect(await run("--ipc", "container:donor", "busybox", "cat", "/dev/shm/file")).toBe("shared");
  expect(readlinkSync("/proc/self/ns/ipc")).toBe(await run("--ipc", "host", "busybox", "readlink", "/proc/self/ns/ipc"));
  expect(await sh("grep -c ' /dev/shm ' /proc/mounts; true", "--ipc", "none")).toBe("0");
  await daemon.ok("run", "-d", "--name", "closed", "busybox", "sleep", "1000");
  expect(await refused("--ipc", "container:closed")).toContain("non-shareable IPC (hint: use IpcMode:shareable for the donor container)");
  await daemon.ok("rm", "-f", "closed");
  expect(await refused("--ipc", "foo")).toContain("invalid IPC mode: foo");
});

test("a namespace of a container that doesn't run can't be joined", async () => {
  const id = await daemon.ok("create", "--name", "still", "--ipc", "shareable", "busybox", "true");
  expect(await refused("--pid", "container:still")).toContain(`failed to join PID namespace: container ${id} is not running`);
  expect(await refused("--ipc", "container:still")).toContain(`failed to join IPC namespace: container ${id} is not running`);
  expect(await refused("--network", "container:still")).toContain(
    "cannot join network namespace of a non running container: container still is created",
  );
  await daemon.ok("rm", "still");
  expect(await refused("--name", "self", "--network", "container:self")).toContain("cannot join own network namespace");
});

test("nothing is mounted inside of /proc but files that tell of the machine", async () => {
  expect(await refused("-v", "/proc//sys")).toContain('"/proc/sys" cannot be mounted because it is inside /proc');
  expect(await refused("--tmpfs", "/proc/acpi")).toContain('"/proc/acpi" cannot be mounted because it is inside /proc');
  expect(await refused("-v", "/tmp:/proc")).toContain('"/proc" cannot be mounted because it is not of type proc');
  expect(await run("-v", "/proc/uptime:/proc/uptime:ro", "busybox", "cat", "/proc/uptime")).toMatch(/^[0-9.]+ /);
});

test("--uts host, --cgroupns", async () => {
  expect(await run("--uts", "host", "busybox", "hostname")).toBe(hostname());
  if (!existsSync("/proc/self/ns/cgroup")) return;
  const own = readlinkSync("/proc/self/ns/cgroup");
  expect(await run("--cgroupns", "private", "busybox", "readlink", "/proc/self/ns/cgroup")).not.toBe(own);
  expect(await run("--cgroupns", "host", "busybox", "readlink", "/proc/self/ns/cgroup")).toBe(own);
});

test("--net container: has the donor's network and name", async () => {
  const address = await daemon.ok("exec", "donor", "hostname", "-i");
  expect(await run("--net", "container:donor", "busybox", "hostname", "-i")).toBe(address);
  expect(await run("--net", "container:donor", "busybox", "hostname")).toBe("donor-host");
  expect(await refused("--net", "container:donor", "-p", "80:80")).toContain(
    "conflicting options: port publishing and the container type network mode",
  );
  expect(await refused("--net", "container:donor", "-h", "x")).toContain("conflicting options: hostname and the network mode");
});

test("--runtime", async () => {
  expect(await refused("--runtime", "nosuch")).toContain("unknown or invalid runtime name: nosuch");
  if (Bun.which("runc") === null) return;
  expect(await run("--runtime", "runc", "busybox", "echo", "runc")).toBe("runc");
  expect((await daemon.dockerWith({ stdin: "in" }, ..."run --rm -i --runtime runc busybox sh -c".split(" "), "cat; exit 5")).exitCode).toBe(
    5,
  );
});

test("nothing is left of all that", async () => {
  await daemon.removeContainers();
  expect(await daemon.residue()).toEqual([]);
});
