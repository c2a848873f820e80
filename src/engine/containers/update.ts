import { DhowError } from "../../lib/mod.ts";
import { type Cgroup, cgroupOf, updateResources, validateHostConfig } from "../../runtime/mod.ts";
import type { ContainerUpdateRequest, ContainerUpdateResponse, HostConfig, RestartPolicy, ThrottleDevice } from "../../spec/engine/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import { changeContainer } from "./change.ts";
import { isRunning } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import type { Container } from "./store.ts";

/** The resources that docker changes; whatever else a request has is left alone. */
const NUMBERS = [
  ...(["BlkioWeight", "CpuShares", "NanoCpus", "CpuPeriod", "CpuQuota", "CpuRealtimePeriod", "CpuRealtimeRuntime"] as const),
  ...(["Memory", "MemorySwap", "MemoryReservation"] as const),
];

/** The limits per device: a list in a request takes the place of what was there. */
const DEVICES = ["BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps", "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps"] as const;

/** POST /containers/{id}/update. @throws invalid, notFound, conflict, internal in docker's words; nothing is changed then */
export async function updateContainer(deps: ContainerDeps, ref: string, request: ContainerUpdateRequest): Promise<ContainerUpdateResponse> {
  const { hostConfig: asked, warnings } = validateHostConfig(request, deps.facts, { isUpdate: true });
  return changeContainer(
    deps,
    ref,
    (container) => update(deps, container, asked),
    () => ({ Warnings: warnings.length > 0 ? warnings : null }),
  );
}

async function update(deps: ContainerDeps, container: Container, asked: HostConfig): Promise<void> {
  const { state, spec } = container;
  const change = { ...resourceChange(spec.hostConfig, asked), ...restartChange(spec.hostConfig, asked.RestartPolicy ?? {}) };
  if (!isRunning(state)) {
    deps.store.updateSpec(container, { hostConfig: { ...spec.hostConfig, ...change } });
    return;
  }
  // said before it is done: should this daemon die in between, the next one does it again
  deps.store.updateSpec(container, { update: change });
  await finishUpdate(deps, container);
}

/** Does the update that a container's record says was begun, and notes it. @throws internal when the kernel refuses; then it is dropped */
export async function finishUpdate(deps: ContainerDeps, container: Container): Promise<void> {
  const { update: change, ...spec } = container.spec;
  if (!change) return;
  const merged = { ...spec.hostConfig, ...change };
  try {
    if (isRunning(container.state))
      await setLimits(cgroupOf(cgroupPath(deps, container), deps.facts), { ...change, ...withLifted(spec.hostConfig, change) }, merged);
  } catch (error) {
    deps.store.updateSpec(container, { update: undefined });
    throw error;
  }
  deps.store.updateSpec(container, { hostConfig: merged, update: undefined });
}

/** The lists of a change, and in them without a limit the devices that had one. */
function withLifted(present: HostConfig, change: HostConfig): HostConfig {
  const lifted = (key: (typeof DEVICES)[number]): readonly ThrottleDevice[] =>
    (present[key] ?? []).filter(({ Path }) => !change[key]?.some((device) => device.Path === Path)).map(({ Path }) => ({ Path, Rate: 0 }));
  return Object.fromEntries(DEVICES.flatMap((key) => (change[key] ? [[key, [...change[key], ...lifted(key)]]] : [])));
}

async function setLimits(cgroup: Cgroup, change: HostConfig, merged: HostConfig): Promise<void> {
  const memory = change.Memory || change.MemorySwap ? { Memory: merged.Memory, MemorySwap: merged.MemorySwap } : {};
  try {
    await cgroup.update(updateResources({ ...change, ...memory }));
  } catch (error) {
    // it has ended meanwhile: the next start has the new limits
    if (cgroup.exists()) throw error;
  }
}

/** What the request changes of the resources. @throws conflict, invalid when that contradicts what is there */
function resourceChange(present: HostConfig, asked: HostConfig): HostConfig {
  const conflict = (text: string): never => {
    throw new DhowError("conflict", text);
  };
  const isSet = (value: number | undefined): boolean => (value ?? 0) > 0;
  for (const [key, name] of [
    ["CpuPeriod", "CPU Period"],
    ["CpuQuota", "CPU Quota"],
  ] as const) {
    if (isSet(asked.NanoCpus) && isSet(present[key])) {
      conflict(`Conflicting options: Nano CPUs cannot be updated as ${name} has already been set`);
    }
    if (isSet(asked[key]) && isSet(present.NanoCpus)) {
      conflict(`Conflicting options: ${name} cannot be updated as NanoCPUs has already been set`);
    }
  }
  const { Memory = 0, MemorySwap = 0 } = asked;
  if (Memory > (present.MemorySwap ?? 0) && present.MemorySwap !== -1 && MemorySwap === 0) {
    conflict("Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time");
  }
  if (MemorySwap > 0 && (Memory || (present.Memory ?? 0)) > MemorySwap) {
    throw new DhowError("invalid", "Minimum memoryswap limit should be larger than memory limit, see usage");
  }
  return {
    ...Object.fromEntries([...NUMBERS, ...DEVICES].filter((key) => asked[key]).map((key) => [key, asked[key]])),
    ...(asked.CpusetCpus ? { CpusetCpus: asked.CpusetCpus } : {}),
    ...(asked.CpusetMems ? { CpusetMems: asked.CpusetMems } : {}),
    ...(typeof asked.PidsLimit === "number" ? { PidsLimit: Math.max(asked.PidsLimit, 0) } : {}),
  };
}

function restartChange({ AutoRemove }: HostConfig, policy: RestartPolicy): HostConfig {
  if (!policy.Name) return {};
  if (AutoRemove && policy.Name !== "no") {
    throw new DhowError("conflict", "Restart policy cannot be updated because AutoRemove is enabled for the container");
  }
  return { RestartPolicy: { Name: policy.Name, MaximumRetryCount: policy.MaximumRetryCount ?? 0 } };
}
