import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import type { HostConfig } from "../../spec/engine/mod.ts";
import { capabilityNames, DEFAULT_CAPABILITIES } from "./capabilities.ts";
import { mountShm, unmountShm } from "./shm.ts";
import { cannotRun, type RunResult, Sandbox } from "./test-support.ts";

let box: Sandbox;
if (cannotRun === undefined) {
  beforeAll(() => {
    box = new Sandbox();
  });
  afterAll(() => box[Symbol.asyncDispose]());
}

function mask(names: readonly string[]): string {
  const all = capabilityNames((1n << 41n) - 1n);
  const bits = names.reduce((sum, name) => sum | (1n << BigInt(all.indexOf(name))), 0n);
  return bits.toString(16).padStart(16, "0");
}

/** Tries system calls by number (x86_64) and prints the errno of each, 0 when it worked. */
function probe(
  calls: Readonly<Record<string, readonly [number, ...(number | string)[]]>>,
  hostConfig: HostConfig,
  compile = true,
): Record<string, number> {
  const lines = Object.entries(calls).map(([name, args]) => {
    const list = args.map((a) => (typeof a === "string" ? `my $s = ${JSON.stringify(a)}` : String(a))).join(", ");
    return `$! = 0; my $r = syscall(${list}); print "${name}=" . ($r == -1 ? $!+0 : 0) . "\\n";`;
  });
  const result = box.run(["/usr/bin/perl", "-e", lines.join("\n")], hostConfig, { mounts: box.hostPrograms, compile });
  if (result.exitCode !== 0) throw new Error(`probe: ${result.exitCode} ${result.stderr} ${result.stdout}`);
  return Object.fromEntries(result.stdout.split("\n").map((line) => [line.split("=")[0], Number(line.split("=")[1])]));
}

const EPERM = 1;
const NEWUSER = 0x10000000;
/** What the default profile refuses although a capability check would not, and what it lets through. */
const CALLS = {
  keyctl: [250, 0, 0, 0],
  unshareUser: [272, NEWUSER],
  clone3: [435, 0, 0],
  ioUring: [425, 0, 0],
  userfaultfd: [323, 0],
  addKey: [248, 0, 0, 0, 0, 0],
  bpf: [321, 99, 0, 0],
  vsock: [41, 40, 1, 0],
  afAlg: [41, 38, 5, 0],
  unixSocket: [41, 1, 1, 0],
  personality32: [135, 8],
  personalityOther: [135, 0x40000],
  getpid: [39],
} as const;
const ENOSYS = 38;

describe.skipIf(cannotRun !== undefined)(`containers of crun${cannotRun === undefined ? "" : ` (skipped: ${cannotRun})`}`, () => {
  const status = (hostConfig: HostConfig, more = {}): Record<string, string> => {
    const { stdout, stderr } = box.run("cat /proc/self/status", hostConfig, more);
    const lines = stdout.split("\n").map((line) => line.split(":\t") as [string, string]);
    if (lines.length < 10) throw new Error(stderr);
    return Object.fromEntries(lines);
  };
  const links = (...names: string[]): string => names.map((name) => `readlink /proc/self/ns/${name}`).join("; ");
  const fails = (result: RunResult): boolean => result.exitCode !== 0;

  test("have Docker's default capabilities", () => {
    const plain = status({});
    expect(plain["CapBnd"]).toBe(mask(DEFAULT_CAPABILITIES));
    expect(plain["CapEff"]).toBe(mask(DEFAULT_CAPABILITIES));
    expect(plain["CapInh"]).toBe(mask([]));
    expect(plain["CapAmb"]).toBe(mask([]));
    expect(plain["NoNewPrivs"]).toBe("0");
    expect(plain["Seccomp"]).toBe("2");
  });

  test("of another user than root have none effective", () => {
    const other = status({}, { user: { uid: 1000, gid: 1000, additionalGids: [1000, 27] } });
    expect(other["CapEff"]).toBe(mask([]));
    expect(other["CapBnd"]).toBe(mask(DEFAULT_CAPABILITIES));
    expect(other["Groups"]?.trim()).toBe("27 1000");
  });

  test("gain and lose capabilities", () => {
    expect(status({ CapDrop: ["ALL"] })["CapBnd"]).toBe(mask([]));
    expect(status({ CapDrop: ["ALL"], CapAdd: ["net_admin"] })["CapEff"]).toBe(mask(["CAP_NET_ADMIN"]));
    const privileged = status({ Privileged: true });
    expect(privileged["CapEff"]).toBe(box.facts.boundingCapabilities.toString(16).padStart(16, "0"));
    expect(privileged["Seccomp"]).toBe("0");
    expect(status({ SecurityOpt: ["no-new-privileges"] })["NoNewPrivs"]).toBe("1");
  });

  test.skipIf(process.arch !== "x64" || Bun.which("perl") === null)("can't make the system calls that Docker's profile refuses", () => {
    const refused = probe(CALLS, {});
    const { clone3, unixSocket, personality32, getpid, ...others } = refused;
    expect(clone3).toBe(ENOSYS);
    expect({ unixSocket, personality32, getpid }).toEqual({ unixSocket: 0, personality32: 0, getpid: 0 });
    for (const [name, code] of Object.entries(others)) expect(`${name}=${code}`).toBe(`${name}=${EPERM}`);
  });

  test.skipIf(process.arch !== "x64" || Bun.which("perl") === null)("meet the same filter whether crun or the cache compiles it", () => {
    expect(probe(CALLS, {}, true)).toEqual(probe(CALLS, {}, false));
    const open = probe(CALLS, { SecurityOpt: ["seccomp=unconfined"] });
    expect(open["unshareUser"]).toBe(0);
    expect(open["vsock"]).not.toBe(EPERM);
  });

  test.skipIf(process.arch !== "x64" || Bun.which("perl") === null)("obey a profile of the user's", () => {
    const profile = JSON.stringify({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["getpid"], action: "SCMP_ACT_ERRNO", errnoRet: 7 }],
    });
    expect(probe({ getpid: [39], getuid: [102] }, { SecurityOpt: [`seccomp=${profile}`] })).toEqual({ getpid: 7, getuid: 0 });
  });

  test("can't see masked paths nor write read-only ones", () => {
    const look = "cat /proc/keys /proc/timer_list /proc/interrupts | head -c 10; ls /sys/firmware";
    expect(box.run(look).stdout).toBe("");
    expect(box.run("cat /proc/interrupts | head -c 200", { MaskedPaths: [] }).stdout).not.toBe("");
    for (const path of ["/proc/sys/net/ipv4/ip_default_ttl", "/proc/irq/default_smp_affinity", "/sys/kernel/mm/ksm/run"]) {
      expect(`${path} ${fails(box.run(`echo 1 > ${path}`))}`).toBe(`${path} true`);
    }
    const group = box.facts.cgroup.version === 1 ? "/sys/fs/cgroup/memory" : "/sys/fs/cgroup";
    expect(box.run(`mkdir ${group}/x; echo $?`).stdout).toBe("1");
    expect(box.run(`echo 1 > ${group}/cgroup.procs; echo $?`).stdout).toBe("1");
    expect(box.run(`mkdir ${group}/x && rmdir ${group}/x; echo $?`, { Privileged: true }).stdout).toBe("0");
    expect(box.run("echo 65 > /proc/sys/net/ipv4/ip_default_ttl", { ReadonlyPaths: [] }).exitCode).toBe(0);
    expect(box.run("mount -t tmpfs none /tmp").exitCode).not.toBe(0);
  });

  test("open only the devices they were given", () => {
    expect(box.run("mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg").stderr).toContain("Operation not permitted");
    expect(box.run("head -c 3 /dev/zero | ls -l /dev/null /dev/zero /dev/random >/dev/null; echo ok > /dev/null").exitCode).toBe(0);
    const device = { PathOnHost: "/dev/kmsg", PathInContainer: "/dev/log0", CgroupPermissions: "r" };
    const given = box.run("ls /dev/log0; echo x > /dev/log0", { Devices: [device] });
    expect(given.stdout).toBe("/dev/log0");
    expect(given.stderr).toContain("Operation not permitted");
    expect(box.run("mknod /tmp/k2 c 1 11 && dd if=/dev/null of=/tmp/k2 2>/dev/null", { DeviceCgroupRules: ["c 1:* w"] }).exitCode).toBe(0);
    expect(box.run("ls /dev | head -c 2000", { Privileged: true }).stdout).toContain("kmsg");
  });

  test("see their limits", () => {
    const v1 = box.facts.cgroup.version === 1;
    const read = v1
      ? "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max cpu/cpu.shares cpuset/cpuset.cpus"
      : "cd /sys/fs/cgroup; cat memory.max cpu.max pids.max";
    const { stdout } = box.run(read, { Memory: 64 << 20, NanoCpus: 5e8, PidsLimit: 77, CpuShares: 512, CpusetCpus: "0" });
    expect(stdout.split("\n")).toEqual(v1 ? ["67108864", "50000", "77", "512", "0"] : ["67108864", "50000 100000", "77"]);
    const throttled = { Memory: 64 << 20, BlkioDeviceWriteBps: [{ Path: "/dev/null", Rate: 1 << 20 }] };
    expect(box.run("true", { Memory: throttled.Memory, MemoryReservation: 32 << 20, MemorySwap: -1 }).exitCode).toBe(0);
  });

  test("get ulimits, lowered where the daemon may not raise them", () => {
    expect(box.run("ulimit -n; ulimit -Hn", { Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }] }).stdout).toBe("100\n200");
    const much = {
      Ulimits: [
        { Name: "nofile", Soft: 1e9, Hard: 1e9 },
        { Name: "core", Soft: -1, Hard: -1 },
      ],
      OomScoreAdj: -1000,
    };
    const { warnings } = box.build("true", much);
    expect(warnings[0]).toContain("ulimit nofile=1000000000 is more than this daemon may set.");
    expect(box.run("ulimit -c", much)).toMatchObject({ exitCode: 0, stdout: "unlimited" });
    expect(box.run("cat /proc/self/oom_score_adj", { OomScoreAdj: 300 }).stdout).toBe("300");
  });

  test("have namespaces of their own, or the host's, or another's", () => {
    const own = box.run(`${links("pid", "uts", "ipc", "net")}; hostname`);
    const host = ["pid", "uts", "ipc", "net"].map((name) => readlinkSync(`/proc/self/ns/${name}`));
    const lines = own.stdout.split("\n");
    for (const name of host) expect(lines).not.toContain(name);
    expect(lines[4]).toBe("box");
    const shared = box.run(links("pid", "uts", "ipc"), { PidMode: "host", UTSMode: "host", IpcMode: "host" });
    expect(shared.stdout.split("\n")).toEqual(host.slice(0, 3));
    const first = box.start("sleep 1000");
    const ns = (name: string): string => readlinkSync(`/proc/${first.pid}/ns/${name}`);
    const joined = box.run(
      `${links("pid", "ipc", "net")}; ps`,
      { PidMode: "container:a", IpcMode: "container:a", NetworkMode: "container:a" },
      {
        pidPath: `/proc/${first.pid}/ns/pid`,
        ipcPath: `/proc/${first.pid}/ns/ipc`,
        network: { kind: "join", path: `/proc/${first.pid}/ns/net` },
      },
    );
    expect(joined.stdout.split("\n").slice(0, 3)).toEqual([ns("pid"), ns("ipc"), ns("net")]);
    expect(joined.stdout).toContain("sleep 1000");
  });

  test("have a cgroup namespace when asked", () => {
    const { exitCode, stdout, stderr } = box.run("cat /proc/self/cgroup", { CgroupnsMode: "private" });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).not.toContain(box.parent);
  });

  test("get /dev/shm of the asked size, a domain name, sysctls", () => {
    expect(box.run("df -k /dev/shm | tail -1", { ShmSize: 4 << 20 }).stdout).toMatch(/^shm\s+4096 /);
    expect(fails(box.run("ls -d /dev/shm", { IpcMode: "none" }))).toBe(true);
    const { stdout } = box.run(
      "cat /proc/sys/kernel/domainname /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shmmni",
      { Sysctls: { "kernel.shmmni": "99" } },
      { domainname: "example.org" },
    );
    expect(stdout).toBe("example.org\n0\n99");
  });

  test("can't write a read-only root, but what is mounted in it", () => {
    const tmpfs = { destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["noexec", "nosuid", "nodev", "rprivate", "size=1m"] };
    const { stdout } = box.run(
      "touch /x; echo $?; touch /tmp/x; echo $?; touch /dev/shm/x; echo $?",
      { ReadonlyRootfs: true },
      { mounts: [tmpfs] },
    );
    expect(stdout).toBe("1\n0\n0");
  });

  test("get mount points made inside the root, whatever links the image has", () => {
    const source = `${box.directory}/source`;
    const outside = `${box.directory}/outside`;
    mkdirSync(source);
    mkdirSync(outside);
    mkdirSync(`${box.rootfs}${outside}`, { recursive: true });
    writeFileSync(`${source}/f`, "bound");
    symlinkSync(outside, `${box.rootfs}/absolute`);
    symlinkSync("../../../../../../../../../../..", `${box.rootfs}/climbing`);
    const at = (destination: string) => ({ destination, type: "bind", source, options: ["rbind", "rro", "rprivate"] });
    const mounts = ["/absolute/new/deep", `/climbing${outside}/other`, "/fresh"].map(at);
    const script = "cat /absolute/new/deep/f /fresh/f; touch /fresh/g 2>/dev/null || echo -ro";
    const { stdout, stderr } = box.run(script, {}, { mounts });
    expect({ stdout, stderr }).toEqual({ stdout: "boundbound-ro", stderr: "" });
    expect(readdirSync(outside)).toEqual([]);
    expect(readdirSync(`${box.rootfs}${outside}`).sort()).toEqual(["new", "other"]);
  });

  test("share /dev/shm when it is mounted for them", () => {
    const shm = `${box.directory}/shm`;
    mountShm(shm, 2 << 20);
    try {
      expect(box.run("echo here > /dev/shm/x", { IpcMode: "shareable" }, { shmPath: shm }).exitCode).toBe(0);
      expect(box.run("cat /dev/shm/x; df -k /dev/shm | tail -1", { IpcMode: "shareable" }, { shmPath: shm }).stdout).toMatch(
        /^here\nshm\s+2048 /,
      );
    } finally {
      unmountShm(shm);
    }
    expect(existsSync(shm)).toBe(false);
  });

  test("keep their filter in an exec", () => {
    const { id } = box.start("sleep 1000");
    const result = Bun.spawnSync(["crun", "--root", `${box.directory}/crun`, "exec", id, "cat", "/proc/self/status"]);
    expect(/^Seccomp:\t2$/m.test(result.stdout.toString())).toBe(true);
  });
});
