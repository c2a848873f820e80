/** What `--metrics-addr` shows: dockerd's metrics by their names, the process, and a few of dhow's own. */
import { readdirSync, readFileSync } from "node:fs";
import { DOCKER_VERSION, type Logger, VERSION } from "../lib/mod.ts";
import { formatMetrics, Histogram, type Metric, type Sample, serveMetrics } from "../server/mod.ts";
import type { DaemonConfig } from "./config.ts";
import type { Engine } from "./engine.ts";
import { metricsListenAddress } from "./listen.ts";

/** USER_HZ, which the kernel's interfaces to user space are fixed to. */
const TICKS_PER_SECOND = 100;
const PAGE_BYTES = 4096;

/** dockerd's help texts stand beside its names, so that dashboards and their readers find the same. */
export class DaemonMetrics {
  readonly #containerActions = new Histogram(
    "engine_daemon_container_actions_seconds",
    "The number of seconds it takes to process each container action",
    { name: "action", values: ["changes", "commit", "create", "delete", "start"] },
  );
  readonly #imageActions = new Histogram(
    "engine_daemon_image_actions_seconds",
    "The number of seconds it takes to process each image action",
    { name: "action" },
  );
  readonly #networkActions = new Histogram(
    "engine_daemon_network_actions_seconds",
    "The number of seconds it takes to process each network action",
    { name: "action" },
  );
  readonly #hostFunctions = new Histogram(
    "engine_daemon_host_info_functions_seconds",
    "The number of seconds it takes to call functions gathering info about the host",
    { name: "function" },
  );
  readonly #engine: Engine;
  #requests = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** One more request has come in. */
  readonly countRequest = (): void => {
    this.#requests++;
  };

  /** The engine, with what clients ask of it timed. */
  measured<T extends Engine["api"]>(api: T): T {
    return {
      ...api,
      containers: timed(api.containers, { create: "create", remove: "delete" }, this.#containerActions),
      lifecycle: timed(api.lifecycle, { start: "start" }, this.#containerActions),
      contents: timed(api.contents, { changes: "changes", commit: "commit" }, this.#containerActions),
      networks: timed(api.networks, { connect: "connect", disconnect: "disconnect" }, this.#networkActions),
      images: timed(api.images, { remove: "delete" }, this.#imageActions),
      system: timed(api.system, { info: "system_info", version: "system_version" }, this.#hostFunctions),
    };
  }

  /** All of it, as text. */
  readonly text = (): string => {
    const own = [this.#containerActions, this.#imageActions, this.#networkActions, this.#hostFunctions];
    return formatMetrics([...own, ...engineMetrics(this.#engine), ...dhowMetrics(this.#engine, this.#requests), ...processMetrics()]);
  };
}

/** `target` with the named calls observed, as dockerd does when they have succeeded. */
function timed<T extends object>(target: T, actions: Partial<Record<keyof T, string>>, histogram: Histogram): T {
  const wrapped = Object.entries(actions).map(([name, action]) => {
    const call = Reflect.get(target, name) as (...args: unknown[]) => Promise<unknown>;
    const observed = async (...args: unknown[]): Promise<unknown> => {
      const start = performance.now();
      const result = await call.apply(target, args);
      histogram.observe(String(action), (performance.now() - start) / 1000);
      return result;
    };
    return [name, observed] as const;
  });
  const replaced = new Map<PropertyKey, unknown>(wrapped);
  return new Proxy(target, {
    get: (own, name) => {
      const found = replaced.get(name);
      if (found !== undefined) return found;
      const value: unknown = Reflect.get(own, name, own);
      return typeof value === "function" ? value.bind(own) : value;
    },
  });
}

function single(type: "counter" | "gauge", name: string, help: string, value: () => number): Metric {
  return { type, name, help, read: () => [{ value: value() }] };
}

function engineMetrics(engine: Engine): readonly Metric[] {
  const { facts } = engine;
  const { counts } = engine;
  const name = (text: string): string => `engine_daemon_${text}`;
  const info = {
    architecture: facts.machine,
    commit: VERSION,
    daemon_id: engine.id,
    graphdriver: engine.storageDriver,
    kernel: facts.kernel,
    os: facts.operatingSystem,
    os_type: "linux",
    os_version: facts.osVersion,
    version: DOCKER_VERSION,
  };
  const states = (): Sample[] => {
    const { paused, running, stopped } = counts.containers();
    return Object.entries({ paused, running, stopped }).map(([state, value]) => ({ labels: { state }, value }));
  };
  const { health } = counts;
  return [
    { type: "gauge", name: name("container_states_containers"), help: "The count of containers in various states", read: states },
    {
      type: "gauge",
      name: name("engine_info"),
      help: "The information related to the engine and the OS it is running on",
      read: () => [{ labels: info, value: 1 }],
    },
    single("gauge", name("engine_cpus_cpus"), "The number of cpus that the host system of the engine has", () => facts.cpuCount),
    single(
      "gauge",
      name("engine_memory_bytes"),
      "The number of bytes of memory that the host system of the engine has",
      () => facts.memoryBytes,
    ),
    single("counter", name("events_total"), "The number of events logged", counts.events),
    single("gauge", name("events_subscribers_total"), "The number of current subscribers to events", counts.listeners),
    single("counter", name("health_checks_total"), "The total number of health checks", () => health.checks),
    single("counter", name("health_checks_failed_total"), "The total number of failed health checks", () => health.failed),
  ];
}

function dhowMetrics(engine: Engine, requests: number): readonly Metric[] {
  return [
    single("counter", "dhow_api_requests_total", "The number of requests that the API has got", () => requests),
    single("gauge", "dhow_sandboxes_ready", "The number of network sandboxes that wait for a container", engine.counts.sandboxesReady),
    single("gauge", "dhow_heap_bytes", "The size of the daemon's heap in use", () => process.memoryUsage().heapUsed),
  ];
}

/** The names that every Prometheus client has for its process. See proc(5). */
function processMetrics(): readonly Metric[] {
  const stat = readFileSync("/proc/self/stat", "utf8");
  // the fields behind the command's name, which may hold anything
  const fields = stat
    .slice(stat.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const field = (number: number): number => fields[number - 3] ?? 0;
  const boot = Number(/^btime (\d+)/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? 0);
  const limit = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  const gauge = (name: string, help: string, value: number): Metric => single("gauge", `process_${name}`, help, () => value);
  return [
    single(
      "counter",
      "process_cpu_seconds_total",
      "Total user and system CPU time spent in seconds.",
      () => (field(14) + field(15)) / TICKS_PER_SECOND,
    ),
    gauge("open_fds", "Number of open file descriptors.", readdirSync("/proc/self/fd").length),
    gauge("max_fds", "Maximum number of open file descriptors.", Number(limit ?? 0)),
    gauge("virtual_memory_bytes", "Virtual memory size in bytes.", field(23)),
    gauge("resident_memory_bytes", "Resident memory size in bytes.", field(24) * PAGE_BYTES),
    gauge("start_time_seconds", "Start time of the process since unix epoch in seconds.", boot + field(22) / TICKS_PER_SECOND),
  ];
}

/** Serves the metrics until the stack is disposed of. @throws conflict when the address is taken */
export async function startMetrics(metrics: DaemonMetrics, config: DaemonConfig, log: Logger, stack: AsyncDisposableStack): Promise<void> {
  const listener = await serveMetrics({ address: metricsListenAddress(config), text: metrics.text, log });
  stack.defer(async () => {
    const closed = listener.close();
    listener.cut();
    await closed;
  });
  log.info("metrics API listening on", { address: `${listener.address}${listener.address.startsWith("tcp://") ? "/metrics" : ""}` });
}
