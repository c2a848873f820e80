import { breather, DhowError, filterTest, humanDuration, parseTime } from "../../lib/mod.ts";
import type { ContainerListOptions, ContainerSummary, Filters, PortMap, PortSummary } from "../../spec/engine/mod.ts";
import { inspectMounts } from "../../volumes/mod.ts";
import { type ContainerState, isUp, shownNetworkMode } from "./container.ts";
import type { Container, ContainerStore } from "./store.ts";

const FILTERS = new Set(
  "ancestor before expose exited health id isolation is-task label label! name network publish since status volume".split(" "),
);
const STATUSES = new Set(["created", "running", "paused", "restarting", "removing", "exited", "dead"]);

/** What the list needs to know of other rooms. */
export interface ListDeps {
  readonly store: ContainerStore;
  /** Ids of the image of `ref` and of every image that has it among its ancestors; empty when there is none. */
  readonly descendants: (ref: string) => ReadonlySet<string>;
  /** The image's id when `ref` (as the user wrote it) still names it; undefined when the tag has moved. */
  readonly imageIdOf: (ref: string) => string | undefined;
  readonly sizes: (container: Container) => Promise<{ readonly rw: number; readonly rootFs: number }>;
  readonly healthOf: (container: Container) => string;
}

/** What `docker ps` shows in its STATUS column. */
export function statusText(state: ContainerState, nowMs: number, health: string): string {
  const since = (time: string): string => humanDuration(nowMs - Number((parseTime(time) ?? 0n) / 1_000_000n));
  switch (state.status) {
    case "running": {
      const suffix = health === "" || health === "none" ? "" : ` (${health === "starting" ? "health: starting" : health})`;
      return `Up ${since(state.startedAt)}${suffix}`;
    }
    case "paused":
      return `Up ${since(state.startedAt)} (Paused)`;
    case "restarting":
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
    case "created":
      return "Created";
    case "exited":
      return parseTime(state.finishedAt) === null ? "" : `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
    default: {
      const _: never = state.status;
      return _;
    }
  }
}

/** The PORTS of a running container, one row per binding; exposed ports without one have a private port only. */
export function portSummaries(ports: PortMap | undefined): PortSummary[] {
  const rows: PortSummary[] = [];
  for (const [key, bindings] of Object.entries(ports ?? {})) {
    const [port = "0", type = "tcp"] = key.split("/");
    if (!bindings?.length) rows.push({ PrivatePort: Number(port), Type: type });
    for (const { HostIp: IP = "", HostPort } of bindings ?? []) {
      // in gateway mode routed no port of the host leads there
      rows.push({ IP, PrivatePort: Number(port), ...(HostPort && { PublicPort: Number(HostPort) }), Type: type });
    }
  }
  return rows;
}

function parsePorts(values: readonly string[] | undefined): Set<string> | undefined {
  if (!values?.length) return undefined;
  const wanted = new Set<string>();
  for (const value of values) {
    const match = /^(\d+)(?:-(\d+))?(?:\/(tcp|udp|sctp))?$/.exec(value);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (!match || last < first || last > 65535) throw new DhowError("invalid", `invalid port ${JSON.stringify(value)}`);
    for (let port = first; port <= last; port++) wanted.add(`${port}/${match[3] ?? "tcp"}`);
  }
  return wanted;
}

// As docker: with its leading slash or without.
function nameTest(values: readonly string[] | undefined): Test {
  if (!values?.length) return () => true;
  const passes = filterTest(values);
  return (c) => passes(c.name) || passes(`/${c.name}`);
}

/** Whether `labels` has a `key` or `key=value`. */
export function hasLabel(labels: Readonly<Record<string, string>> | null | undefined, wanted: string): boolean {
  const at = wanted.indexOf("=");
  if (at < 0) return labels !== null && labels !== undefined && Object.hasOwn(labels, wanted);
  return labels?.[wanted.slice(0, at)] === wanted.slice(at + 1);
}

function parseExited(values: readonly string[] | undefined): Set<number> | undefined {
  if (!values?.length) return undefined;
  return new Set(
    values.map((value) => {
      if (!/^-?\d+$/.test(value)) throw new DhowError("invalid", `invalid filter 'exited=${value}'`);
      return Number(value);
    }),
  );
}

type Test = (container: Container) => boolean;

function some(values: readonly string[] | undefined, test: (container: Container, value: string) => boolean): Test {
  return values?.length ? (c) => values.some((value) => test(c, value)) : () => true;
}

/** The containers that a label filter set (`label`, `label!`) lets through. */
export function labelTest(filters: Filters): Test {
  return (c) =>
    (filters["label"] ?? []).every((wanted) => hasLabel(c.spec.config.Labels, wanted)) &&
    !(filters["label!"] ?? []).some((wanted) => hasLabel(c.spec.config.Labels, wanted));
}

function bounds(filters: Filters, deps: ListDeps, order: readonly Container[]): Test {
  const position = new Map(order.map((c, index) => [c.id, index]));
  const at = (values: readonly string[] | undefined): number[] => (values ?? []).map((ref) => position.get(deps.store.find(ref).id) ?? -1);
  const before = Math.min(...at(filters["before"]));
  const since = Math.max(...at(filters["since"]));
  return (c) => {
    const index = position.get(c.id) ?? 0;
    return index < before && index > since;
  };
}

function tests(filters: Filters, deps: ListDeps, order: readonly Container[]): Test[] {
  for (const key of Object.keys(filters)) {
    if (!FILTERS.has(key)) throw new DhowError("invalid", `invalid filter '${key}'`);
  }
  for (const status of filters["status"] ?? []) {
    if (!STATUSES.has(status)) throw new DhowError("invalid", `invalid filter 'status=${status}'`);
  }
  for (const health of filters["health"] ?? []) {
    if (!["starting", "healthy", "unhealthy", "none"].includes(health)) throw new DhowError("invalid", `invalid filter 'health=${health}'`);
  }
  for (const value of filters["is-task"] ?? []) {
    if (!/^(0|1|true|false)$/.test(value)) throw new DhowError("invalid", `invalid filter 'is-task=[${value}]'`);
  }
  const exited = parseExited(filters["exited"]);
  const publish = parsePorts(filters["publish"]);
  const expose = parsePorts(filters["expose"]);
  const ancestors = filters["ancestor"]?.map((ref) => deps.descendants(ref));
  return [
    some(filters["id"], (c, id) => c.id.startsWith(id)),
    nameTest(filters["name"]),
    some(filters["status"], (c, status) => c.state.status === status),
    some(filters["health"], (c, health) => (deps.healthOf(c) || "none") === health),
    some(filters["volume"], (c, volume) =>
      c.spec.mounts.some((m) => m.volume === volume || m.destination === volume || m.source === volume),
    ),
    some(filters["network"], (c, network) =>
      Object.entries(networksOf(c)).some(
        ([name, e]) => name === network || (e.NetworkID !== "" && e.NetworkID?.startsWith(network) === true),
      ),
    ),
    some(filters["is-task"], (_, value) => value === "false" || value === "0"),
    some(filters["isolation"], (c, value) => c.spec.hostConfig.Isolation === value),
    labelTest(filters),
    (c) => exited === undefined || (exited.has(c.state.exitCode) && !isUp(c.state) && c.state.status !== "created"),
    (c) =>
      publish === undefined ||
      portSummaries(c.state.network?.ports).some((p) => p.PublicPort !== undefined && publish.has(`${p.PublicPort}/${p.Type}`)),
    (c) =>
      expose === undefined ||
      Object.keys(c.spec.config.ExposedPorts ?? {}).some((port) => expose.has(port)) ||
      Object.keys(c.state.network?.ports ?? {}).some((port) => expose.has(port)),
    (c) => ancestors === undefined || ancestors.some((ids) => ids.has(c.spec.imageId)),
    filters["before"] || filters["since"] ? bounds(filters, deps, order) : () => true,
  ];
}

/** The endpoints of a container: live ones while it runs, else what it was created with; which networks those are is said from its start on. */
export function networksOf(container: Container): NonNullable<NonNullable<ContainerState["network"]>["networks"]> {
  const { state, spec } = container;
  if (state.network !== null || state.status !== "created") return state.network?.networks ?? spec.endpoints;
  return Object.fromEntries(Object.entries(spec.endpoints).map(([name, endpoint]) => [name, { ...endpoint, NetworkID: "" }]));
}

function commandOf(container: Container): string {
  const { path, args } = container.spec;
  const quoted = args.map((arg) => (/\s/.test(arg) ? `'${arg}'` : arg));
  return [path, ...quoted].join(" ");
}

/** GET /containers/json. @throws invalid for an unknown filter or value */
export async function listContainers(deps: ListDeps, options: ContainerListOptions): Promise<ContainerSummary[]> {
  const { filters, limit } = options;
  const oldestFirst = deps.store.list();
  const isAll = options.all || limit > 0 || Boolean(filters["status"]?.length);
  const pass = tests(filters, deps, oldestFirst);
  const found: Container[] = [];
  const breathe = breather();
  for (const container of oldestFirst.reverse()) {
    if (limit > 0 && found.length >= limit) break;
    if (!isAll && !isUp(container.state)) continue;
    if (pass.every((test) => test(container))) found.push(container);
    // an expression may take its time at each name
    const pause = breathe();
    if (pause) await pause;
  }
  const now = Date.now();
  return Promise.all(found.map((container) => summary(deps, container, options, now)));
}

async function summary(deps: ListDeps, container: Container, options: ContainerListOptions, now: number): Promise<ContainerSummary> {
  const { spec, state } = container;
  const isCurrent = deps.imageIdOf(spec.image) === spec.imageId;
  const health = deps.healthOf(container);
  const size = options.size ? await deps.sizes(container) : undefined;
  return {
    Id: container.id,
    Names: [`/${container.name}`, ...deps.store.linksTo(container.id).map(({ container: owner, alias }) => `/${owner.name}/${alias}`)],
    Image: isCurrent ? spec.image : spec.imageId,
    ImageID: spec.imageId,
    Command: commandOf(container),
    Created: Number((parseTime(spec.created) ?? 0n) / 1_000_000_000n),
    Ports: portSummaries(state.network?.ports),
    // in a list docker leaves a size of nothing out
    ...(size?.rw ? { SizeRw: size.rw } : {}),
    ...(size?.rootFs ? { SizeRootFs: size.rootFs } : {}),
    Labels: spec.config.Labels ?? {},
    State: state.status,
    Status: statusText(state, now, health),
    HostConfig: {
      NetworkMode: shownNetworkMode(spec),
      ...(spec.hostConfig.Annotations ? { Annotations: spec.hostConfig.Annotations } : {}),
    },
    Health: { Status: health === "" ? "none" : health, FailingStreak: 0 },
    NetworkSettings: { Networks: networksOf(container) },
    Mounts: inspectMounts(spec.mounts),
  };
}
