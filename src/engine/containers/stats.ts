import { formatTime, nowNs, ZERO_TIME } from "../../lib/mod.ts";
import { cgroupOf, systemCpu } from "../../runtime/mod.ts";
import type { ContainerCPUStats, ContainerStatsResponse } from "../../spec/engine/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import { isRunning } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import type { Container } from "./store.ts";

const INTERVAL_MS = 1000;
const NO_CPU: ContainerCPUStats = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

interface Sample {
  readonly read: string;
  readonly cpu: ContainerCPUStats;
}

function empty(container: Container): ContainerStatsResponse {
  return {
    id: container.id,
    name: `/${container.name}`,
    os_type: "linux",
    read: ZERO_TIME,
    preread: ZERO_TIME,
    pids_stats: {},
    blkio_stats: blankBlkio(),
    num_procs: 0,
    storage_stats: {},
    cpu_stats: NO_CPU,
    precpu_stats: NO_CPU,
    memory_stats: {},
  };
}

function blankBlkio(): NonNullable<ContainerStatsResponse["blkio_stats"]> {
  return {
    io_service_bytes_recursive: null,
    io_serviced_recursive: null,
    io_queue_recursive: null,
    io_service_time_recursive: null,
    io_wait_time_recursive: null,
    io_merged_recursive: null,
    io_time_recursive: null,
    sectors_recursive: null,
  };
}

function sample(
  deps: ContainerDeps,
  container: Container,
  before: Sample | undefined,
): ContainerStatsResponse & { readonly sample: Sample } {
  const stats = cgroupOf(cgroupPath(deps, container), deps.facts).stats();
  const system = systemCpu();
  const read = formatTime(nowNs());
  const cpu = { ...stats.cpu_stats, system_cpu_usage: system.usageNs, online_cpus: system.onlineCpus };
  return {
    ...empty(container),
    ...stats,
    read,
    preread: before?.read ?? ZERO_TIME,
    cpu_stats: cpu,
    precpu_stats: before?.cpu ?? NO_CPU,
    networks: deps.network.stats(container.id),
    sample: { read, cpu },
  };
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
    signal?.addEventListener("abort", done);
  });
}

/**
 * GET /containers/{id}/stats. A container that doesn't run has zeros, at once. A single look without `oneShot` waits for the second
 * sample, so that a share of the CPU can be told; a stream shows the first one at once and ends when the container is removed.
 */
export async function* containerStats(
  deps: ContainerDeps,
  container: Container,
  options: { readonly stream: boolean; readonly oneShot: boolean; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<ContainerStatsResponse> {
  let before: Sample | undefined;
  if (!options.stream && !options.oneShot && isRunning(container.state)) {
    before = sample(deps, container, undefined).sample;
    await sleep(INTERVAL_MS, options.signal);
  }
  for (;;) {
    if (options.signal?.aborted || deps.store.get(container.id) !== container) return;
    if (isRunning(container.state)) {
      const { sample: current, ...shown } = sample(deps, container, before);
      before = current;
      yield shown;
    } else {
      before = undefined;
      yield empty(container);
    }
    if (!options.stream) return;
    await sleep(INTERVAL_MS, options.signal);
  }
}
