import { expect, test } from "bun:test";
import { errorKind, errorMessage } from "../../lib/mod.ts";
import type { HostConfig } from "../../spec/engine/mod.ts";
import { FACTS } from "./test-support.ts";
import { validateConflicts, validateHostConfig, withHostConfigDefaults } from "./validate.ts";

const MB = 1024 * 1024;

const REFUSED: readonly (readonly [HostConfig, string])[] = [
  [{ Memory: 4 * MB }, "Minimum memory limit allowed is 6MB"],
  [{ Memory: 32 * MB, MemorySwap: 16 * MB }, "Minimum memoryswap limit should be larger than memory limit, see usage"],
  [{ MemorySwap: 16 * MB }, "You should always set the Memory limit when using Memoryswap limit, see usage"],
  [{ MemoryReservation: MB }, "Minimum memory reservation allowed is 6MB"],
  [{ Memory: 8 * MB, MemoryReservation: 16 * MB }, "Minimum memory limit can not be less than memory reservation limit, see usage"],
  [{ NanoCpus: 1e9, CpuPeriod: 1000 }, "Conflicting options: Nano CPUs and CPU Period cannot both be set"],
  [{ NanoCpus: 1e9, CpuQuota: 1000 }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"],
  [{ NanoCpus: 9e9 }, "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"],
  [{ CpuPeriod: 10 }, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"],
  [{ CpuQuota: 10 }, "CPU cfs quota can not be less than 1ms (i.e. 1000)"],
  [{ CpuShares: -1 }, "invalid CPU shares (-1): value must be a positive integer"],
  [{ CpusetCpus: "9" }, "Requested CPUs are not available - requested 9, available: 0-1"],
  [{ CpusetCpus: "x" }, "Invalid value x for cpuset cpus: invalid format: x"],
  [{ CpusetCpus: "1-9223372036854775807" }, "Invalid value 1-9223372036854775807 for cpuset cpus: value of out range, maximum is 8192"],
  [{ CpusetMems: "3" }, "Requested memory nodes are not available - requested 3, available: 0"],
  [{ CpuRealtimePeriod: 1000 }, "kernel does not support CPU real-time scheduler"],
  [{ BlkioWeight: 5 }, "Range of blkio weight is from 10 to 1000"],
  [{ ShmSize: -1 }, "SHM size can not be less than 0"],
  [{ OomScoreAdj: 2000 }, "Invalid value 2000, range for oom score adj is [-1000, 1000]"],
  [{ AutoRemove: true, RestartPolicy: { Name: "always" } }, "can't create 'AutoRemove' container with restart policy"],
  [
    { RestartPolicy: { Name: "always", MaximumRetryCount: 1 } },
    "invalid restart policy: maximum retry count can only be used with 'on-failure'",
  ],
  [{ RestartPolicy: { Name: "on-failure", MaximumRetryCount: -1 } }, "invalid restart policy: maximum retry count cannot be negative"],
  [
    { RestartPolicy: { Name: "x" } },
    "invalid restart policy: unknown policy 'x'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
  ],
  [{ IpcMode: "x" }, "invalid IPC mode: x"],
  [{ PidMode: "container:" }, "invalid PID mode: container:"],
  [{ UTSMode: "x" }, "invalid UTS mode: x"],
  [{ CgroupnsMode: "x" }, "invalid cgroup namespace mode: x"],
  [{ Isolation: "hyperv" }, "invalid isolation 'hyperv' on linux"],
  [{ CapAdd: ["nope"] }, 'invalid CapAdd: unknown capability: "CAP_NOPE"'],
  [{ CapDrop: ["nope"] }, 'invalid CapDrop: unknown capability: "CAP_NOPE"'],
  [{ SecurityOpt: ["a=b"] }, 'invalid --security-opt 2: "a=b"'],
  [{ Annotations: { "": "x" } }, "invalid Annotations: the empty string is not permitted as an annotation key"],
  [
    { Annotations: { "run.oci.seccomp_bpf_data": "AAAA" } },
    "invalid Annotations: run.oci.seccomp_bpf_data is the engine's own; use --security-opt seccomp=<profile>",
  ],
  [{ Ulimits: [{ Name: "nofile", Soft: 9, Hard: 8 }] }, "ulimit soft limit must be less than or equal to hard limit: 9 > 8"],
  [{ Ulimits: [{ Name: "as", Soft: 1, Hard: 1 }] }, "invalid ulimit type: as"],
  [{ NetworkMode: "host", Sysctls: { "net.core.somaxconn": "1" } }, 'sysctl "net.core.somaxconn" not allowed in host network namespace'],
  [{ Sysctls: { "kernel.panic": "1" } }, 'sysctl "kernel.panic" is not in a separate kernel namespace'],
  [{ Sysctls: { "net/../kernel/panic": "1" } }, 'sysctl "net/../kernel/panic" is not in a separate kernel namespace'],
];

for (const [config, message] of REFUSED) {
  test(`validateHostConfig() refuses ${JSON.stringify(config)}`, () => {
    try {
      validateHostConfig(config, FACTS);
    } catch (error) {
      expect(errorMessage(error)).toBe(message);
      expect(errorKind(error)).toBe("invalid");
      return;
    }
    throw new Error("it was not refused");
  });
}

test("validateHostConfig() leaves out what the kernel can't do, with docker's warning", () => {
  const limits = { ...FACTS.limits, swap: false, cpuset: false, pids: false, blkioReadBps: false };
  const config = {
    Memory: 64 * MB,
    CpusetCpus: "7",
    PidsLimit: 5,
    MemorySwappiness: 10,
    OomKillDisable: true,
    BlkioDeviceReadBps: [{ Path: "/x", Rate: 1 }],
  };
  const { hostConfig, warnings } = validateHostConfig(config, { ...FACTS, limits });
  expect(hostConfig).toEqual({ Memory: 64 * MB, MemorySwap: -1 });
  expect(warnings).toEqual([
    "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
    "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
    "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
    "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
    "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.",
  ]);
});

test("validateHostConfig() checks ranges where the kernel can do it", () => {
  const limits = { ...FACTS.limits, memorySwappiness: true, cpuRealtime: true };
  const check = (config: HostConfig) => () => validateHostConfig(config, { ...FACTS, limits });
  expect(check({ MemorySwappiness: 101 })).toThrow("Invalid value: 101, valid memory swappiness range is 0-100");
  expect(check({ CpuRealtimePeriod: 10, CpuRealtimeRuntime: 20 })).toThrow(
    "cpu real-time runtime cannot be higher than cpu real-time period",
  );
  expect(check({ MemorySwappiness: -1 })).not.toThrow();
});

test("validateConflicts() refuses options that exclude each other", () => {
  const check =
    (config: HostConfig, container = {}) =>
    () =>
      validateConflicts(config, container);
  expect(check({ NetworkMode: "container:x" }, { hostname: "h" })).toThrow("conflicting options: hostname and the network mode");
  expect(check({ NetworkMode: "container:x", Dns: ["1.1.1.1"] })).toThrow("conflicting options: dns and the network mode");
  expect(check({ NetworkMode: "container:x", PublishAllPorts: true })).toThrow(
    "conflicting options: port publishing and the container type network mode",
  );
  expect(check({ NetworkMode: "container:" })).toThrow("invalid network mode: invalid container format container:<name|id>");
  expect(check({ UTSMode: "host" }, { hostname: "h" })).toThrow("conflicting options: hostname and the UTS mode");
  expect(check({ NetworkMode: "bridge" }, { hostname: "h" })).not.toThrow();
});

test("withHostConfigDefaults() fills in what inspect shows", () => {
  expect(withHostConfigDefaults({ Memory: 64 * MB }, FACTS)).toMatchObject({
    MemorySwap: 128 * MB,
    ShmSize: 67108864,
    IpcMode: "private",
    CgroupnsMode: "private",
    MaskedPaths: FACTS.maskedPaths,
  });
  expect(withHostConfigDefaults({ Privileged: true }, FACTS).MaskedPaths).toBeNull();
  expect(withHostConfigDefaults({ MaskedPaths: [] }, FACTS).MaskedPaths).toEqual([]);
});
