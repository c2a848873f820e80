import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { DhowError } from "../../lib/mod.ts";
import type { HostConfig } from "../../spec/engine/mod.ts";
import { buildSpec, execProcess, type SpecInput } from "./build.ts";
import { clampWarnings } from "./limits.ts";
import { FACTS, specInput } from "./test-support.ts";
import { withHostConfigDefaults } from "./validate.ts";

interface Case {
  readonly hostConfig: HostConfig;
  readonly more?: Partial<SpecInput>;
}

const CASES: Readonly<Record<string, Case>> = {
  default: { hostConfig: {} },
  limits: {
    hostConfig: {
      Memory: 64 << 20,
      MemoryReservation: 32 << 20,
      NanoCpus: 1.5e9,
      CpuShares: 512,
      CpusetCpus: "0,1",
      PidsLimit: 100,
      BlkioWeight: 500,
      BlkioDeviceReadBps: [{ Path: "/dev/null", Rate: 1048576 }],
      Ulimits: [{ Name: "nofile", Soft: 512, Hard: -1 }],
    },
  },
  hardened: {
    hostConfig: {
      ReadonlyRootfs: true,
      CapDrop: ["all"],
      CapAdd: ["net_bind_service"],
      SecurityOpt: ["no-new-privileges", "seccomp=unconfined"],
      IpcMode: "none",
      MaskedPaths: [],
      ReadonlyPaths: [],
      OomScoreAdj: 500,
    },
  },
  shared: {
    hostConfig: { NetworkMode: "container:x", PidMode: "container:x", IpcMode: "container:x", UTSMode: "host", CgroupnsMode: "host" },
    more: {
      network: { kind: "join", path: "/proc/7/ns/net" },
      pidPath: "/proc/7/ns/pid",
      ipcPath: "/proc/7/ns/ipc",
      shmPath: "/run/shm-x",
    },
  },
  mounts: {
    hostConfig: { Init: true, ShmSize: 1 << 20, Sysctls: { "net.core.somaxconn": "1024" } },
    more: {
      domainname: "example.org",
      defaults: { initPath: "/usr/bin/tini" },
      mounts: [
        { destination: "/dev/shm", type: "tmpfs", source: "tmpfs", options: ["size=1m"] },
        { destination: "/data", type: "bind", source: "/srv", options: ["rbind", "rshared"] },
      ],
    },
  },
};

for (const [name, { hostConfig, more }] of Object.entries(CASES)) {
  test(`buildSpec() makes the configuration of testdata/${name}.json`, () => {
    const { spec } = buildSpec(specInput(withHostConfigDefaults(hostConfig, FACTS), FACTS, more));
    const made = JSON.parse(JSON.stringify(spec));
    // The long list stands in one file only.
    if (name !== "default" && made.linux.seccomp) made.linux.seccomp.syscalls = made.linux.seccomp.syscalls.length;
    const file = `${import.meta.dir}/testdata/${name}.json`;
    if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, `${JSON.stringify(made, null, 2)}\n`);
    expect(made).toEqual(JSON.parse(readFileSync(file, "utf8")));
  });
}

function build(hostConfig: HostConfig, more: Partial<SpecInput> = {}) {
  return buildSpec(specInput(withHostConfigDefaults(hostConfig, FACTS), FACTS, more));
}

test("buildSpec() gives a privileged container every capability that the daemon has, and no confinement", () => {
  const { spec } = build({ Privileged: true });
  expect(spec.process.capabilities.bounding.length).toBe(41);
  expect(spec.linux.seccomp).toBeUndefined();
  expect(spec.linux.maskedPaths).toEqual([]);
  expect(spec.linux.resources.devices).toEqual([{ allow: true, access: "rwm" }]);
  expect(spec.mounts.find((m) => m.destination === "/sys")?.options).not.toContain("ro");
  expect(spec.mounts.find((m) => m.destination === "/sys/fs/cgroup")?.options).not.toContain("ro");
});

test("buildSpec() never hands on a capability outside of the bounding set", () => {
  const facts = { ...FACTS, boundingCapabilities: FACTS.boundingCapabilities & ~(1n << 24n) };
  const { spec } = buildSpec(specInput({ Privileged: true }, facts));
  expect(spec.process.capabilities.effective).not.toContain("CAP_SYS_RESOURCE");
  expect(() => buildSpec(specInput({ CapAdd: ["SYS_RESOURCE"] }, facts))).toThrow(
    'capability not supported by your kernel or not available in the current environment: "CAP_SYS_RESOURCE"',
  );
});

test("buildSpec() opens system calls by capability", () => {
  const names = (hostConfig: HostConfig): Set<string> => {
    const calls = build(hostConfig).spec.linux.seccomp?.syscalls ?? [];
    return new Set(calls.filter((c) => c.action === "SCMP_ACT_ALLOW" && !c.args).flatMap((c) => c.names));
  };
  const plain = names({});
  for (const call of ["mount", "unshare", "keyctl", "bpf", "add_key", "reboot", "io_uring_setup", "clone"])
    expect(plain).not.toContain(call);
  expect(plain).toContain("chroot");
  const admin = names({ CapAdd: ["SYS_ADMIN"] });
  for (const call of ["mount", "unshare", "bpf", "clone", "clone3"]) expect(admin).toContain(call);
  expect(names({ CapDrop: ["SYS_CHROOT"] })).not.toContain("chroot");
});

test("buildSpec() reads a profile of the user's and refuses a broken one", () => {
  const profile = {
    defaultAction: "SCMP_ACT_ALLOW",
    archMap: [{ architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] }],
    syscalls: [
      { name: "mkdir", action: "SCMP_ACT_ERRNO", args: [{ index: 0, value: "MAX", valueTwo: 0, op: "SCMP_CMP_EQ" }] },
      { names: ["chmod"], action: "SCMP_ACT_ERRNO", includes: { caps: ["CAP_SYS_ADMIN"] } },
      { names: ["rmdir"], action: "SCMP_ACT_ERRNO", excludes: { arches: ["amd64"] } },
    ],
  };
  const text = JSON.stringify(profile).replace('"MAX"', "18446744073709551615");
  const { spec } = build({ SecurityOpt: [`seccomp=${text}`] });
  expect(spec.linux.seccomp?.architectures).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
  expect(spec.linux.seccomp?.syscalls?.map((c) => c.names)).toEqual([["mkdir"]]);
  expect(JSON.stringify(spec.linux.seccomp)).toContain('"value":18446744073709551615');
  expect(() => build({ SecurityOpt: ["seccomp={"] })).toThrow("Decoding seccomp profile failed: ");
});

test("buildSpec() lowers a limit to what the daemon may set and says so", () => {
  const facts = { ...FACTS, effectiveCapabilities: 0n };
  const { spec, warnings } = buildSpec(specInput({ Ulimits: [{ Name: "nofile", Soft: 9000, Hard: 9000 }], OomScoreAdj: -500 }, facts));
  expect(spec.process.rlimits).toEqual([{ type: "RLIMIT_NOFILE", soft: 4096, hard: 4096 }]);
  expect(spec.process.oomScoreAdj).toBeUndefined();
  expect(warnings).toEqual([
    "ulimit nofile=9000 is more than this daemon may set. Limited to 4096.",
    "oom-score-adj -500 is less than this daemon may set. Limited to 0.",
  ]);
  // the daemon's own defaults are no matter of the user's
  expect(clampWarnings({ Ulimits: [{ Name: "nofile", Soft: 9000, Hard: 9000 }], OomScoreAdj: -500 }, facts)).toEqual(warnings);
});

test("buildSpec() refuses what it can't give", () => {
  const refused = (hostConfig: HostConfig): string => {
    try {
      build(hostConfig);
      return "";
    } catch (error) {
      return error instanceof DhowError ? error.message : String(error);
    }
  };
  expect(refused({ Devices: [{ PathOnHost: "/dev/nothing-here", PathInContainer: "/dev/x", CgroupPermissions: "rwm" }] })).toBe(
    'error gathering device information while adding custom device "/dev/nothing-here": no such file or directory',
  );
  expect(refused({ DeviceCgroupRules: ["c 1:x rwm"] })).toBe("invalid device cgroup rule format: 'c 1:x rwm'");
  expect(refused({ SecurityOpt: ["nonsense"] })).toBe('invalid --security-opt 1: "nonsense"');
});

test("execProcess() keeps the container's confinement, and lifts capabilities when privileged", () => {
  const { process: container } = build({ SecurityOpt: ["no-new-privileges=true"], CapDrop: ["ALL"] }).spec;
  const exec = { args: ["ls"], env: [], cwd: "/", user: { uid: 5, gid: 5 }, terminal: false };
  expect(execProcess(container, { ...exec, privileged: false }, FACTS)).toMatchObject({
    noNewPrivileges: true,
    capabilities: { bounding: [] },
  });
  expect(execProcess(container, { ...exec, privileged: true }, FACTS).capabilities.effective.length).toBe(41);
});

test("a user namespace comes by path and mapping, and bounds what only the host's root may do", () => {
  const ids = [{ containerID: 0, hostID: 100000, size: 1000 }];
  const userns = { path: "/proc/1/fd/9", mappings: { uids: ids, gids: ids } };
  const hostConfig: HostConfig = { OomScoreAdj: -500, Ulimits: [{ Name: "nofile", Soft: 2 ** 20, Hard: 2 ** 20 }] };
  const facts = { ...FACTS, rlimits: { ...FACTS.rlimits, nofile: { soft: 1024, hard: 4096 } }, nrOpen: 2 ** 30 };
  const { spec, warnings } = buildSpec(specInput(hostConfig, facts, { userns }));
  expect(spec.linux.namespaces).toContainEqual({ type: "user", path: "/proc/1/fd/9" });
  expect(spec.linux).toMatchObject({ uidMappings: ids, gidMappings: ids });
  expect(spec.linux.sysctl?.["net.ipv4.ping_group_range"]).toBe("0 999");
  expect(spec.process.rlimits).toEqual([{ type: "RLIMIT_NOFILE", soft: 4096, hard: 4096 }]);
  expect(warnings.length).toBe(2);
  const plain = buildSpec(specInput(hostConfig, facts)).spec;
  expect(plain.linux.namespaces.map((namespace) => namespace.type)).not.toContain("user");
  expect(plain.linux.sysctl?.["net.ipv4.ping_group_range"]).toBe("0 2147483647");
  expect(plain.process.rlimits).toEqual([{ type: "RLIMIT_NOFILE", soft: 2 ** 20, hard: 2 ** 20 }]);
});
