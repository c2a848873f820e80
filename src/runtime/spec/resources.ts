import { DhowError } from "../../lib/mod.ts";
import { AT_FDCWD, major, minor, statx } from "../../linux/mod.ts";
import type { HostConfig, ThrottleDevice } from "../../spec/engine/mod.ts";
import type { OciResources, OciThrottleDevice } from "../../spec/oci-runtime/mod.ts";

const PERIOD_US = 100_000;

type Memory = NonNullable<OciResources["memory"]>;
type Cpu = NonNullable<OciResources["cpu"]>;
type BlockIO = NonNullable<OciResources["blockIO"]>;

// Only what is set: a runtime writes one cgroup file for each.
function set<T extends object>(values: { readonly [K in keyof T]: T[K] | undefined }): T | undefined {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as T);
}

const positive = (value: number | null | undefined): number | undefined => (value && value > 0 ? value : undefined);
const nonZero = (value: number | null | undefined): number | undefined => value || undefined;

function memory(config: HostConfig): Memory | undefined {
  return set<Memory>({
    limit: positive(config.Memory),
    reservation: positive(config.MemoryReservation),
    swap: positive(config.MemorySwap),
    swappiness: config.MemorySwappiness ?? undefined,
    disableOOMKiller: config.OomKillDisable ? true : undefined,
  });
}

function cpu(config: HostConfig): Cpu | undefined {
  const nano = positive(config.NanoCpus);
  return set<Cpu>({
    shares: nonZero(config.CpuShares),
    quota: nonZero(config.CpuQuota) ?? (nano === undefined ? undefined : Math.trunc((nano * PERIOD_US) / 1e9)),
    period: nonZero(config.CpuPeriod) ?? (nano === undefined ? undefined : PERIOD_US),
    realtimeRuntime: nonZero(config.CpuRealtimeRuntime),
    realtimePeriod: nonZero(config.CpuRealtimePeriod),
    cpus: config.CpusetCpus || undefined,
    mems: config.CpusetMems || undefined,
  });
}

function deviceNumber(path: string | undefined): { readonly major: number; readonly minor: number } {
  try {
    const { rdev } = statx(AT_FDCWD, path ?? "");
    return { major: major(rdev), minor: minor(rdev) };
  } catch (error) {
    throw new DhowError("invalid", `stat ${path ?? ""}: no such file or directory`, { cause: error });
  }
}

function throttle(devices: readonly ThrottleDevice[] | null | undefined): OciThrottleDevice[] | undefined {
  if (!devices?.length) return undefined;
  return devices.map((d) => ({ ...deviceNumber(d.Path), rate: d.Rate ?? 0 }));
}

function blockIO(config: HostConfig): BlockIO | undefined {
  const weights = config.BlkioWeightDevice;
  return set<BlockIO>({
    weight: nonZero(config.BlkioWeight),
    weightDevice: weights?.length ? weights.map((d) => ({ ...deviceNumber(d.Path), weight: d.Weight ?? 0 })) : undefined,
    throttleReadBpsDevice: throttle(config.BlkioDeviceReadBps),
    throttleWriteBpsDevice: throttle(config.BlkioDeviceWriteBps),
    throttleReadIOPSDevice: throttle(config.BlkioDeviceReadIOps),
    throttleWriteIOPSDevice: throttle(config.BlkioDeviceWriteIOps),
  });
}

/** The limits that `docker update` changes: unlike at a start, "unlimited" has to be said. */
export function updateResources(change: HostConfig): OciResources {
  const resources = containerResources(change);
  return {
    ...resources,
    ...(change.MemorySwap === -1 ? { memory: { ...resources.memory, swap: -1 } } : {}),
    ...((change.PidsLimit ?? 1) <= 0 ? { pids: { limit: -1 } } : {}),
  };
}

/**
 * The limits of a container in OCI terms, which are v1's; a runtime converts them on v2. Fields that aren't set stay away.
 * @throws invalid for a throttled device that doesn't exist
 */
export function containerResources(config: HostConfig): OciResources {
  const pids = positive(config.PidsLimit);
  return (
    set<OciResources>({
      devices: undefined,
      memory: memory(config),
      cpu: cpu(config),
      pids: pids === undefined ? undefined : { limit: pids },
      blockIO: blockIO(config),
    }) ?? {}
  );
}
