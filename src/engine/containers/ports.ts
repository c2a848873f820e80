import { DhowError } from "../../lib/mod.ts";
import { type PortRequest, type PublishedPort, parsePortSpecs } from "../../network/mod.ts";
import {
  type AuditedPort,
  type ContainerConfig,
  type HostConfig,
  type NetworkExtensions,
  type PortAudit,
  type PortBinding,
  type PortChangeRequest,
  type PortChangeResponse,
  type PortPublication,
  type PortsApi,
  parseSources,
  withPortAllows,
} from "../../spec/engine/mod.ts";
import { changeContainer, withSpecKept } from "./change.ts";
import { type ContainerSpec, isRunning, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { publishedPorts, sandboxState } from "./networking.ts";
import type { Container } from "./store.ts";
import { hostPortText, publicationsMeant } from "./unpublish.ts";

/** Published ports of containers. */
export function portsApi(deps: ContainerDeps): PortsApi {
  return { change: (ref, request) => changePorts(deps, ref, request), audit: () => auditPorts(deps) };
}

/** GET /ports/audit. @throws unavailable when the rules of the host can't be read */
async function auditPorts({ network, store }: Pick<ContainerDeps, "network" | "store">): Promise<PortAudit> {
  const { ports, notes } = await network.auditPorts();
  const audited = ports.map(
    (port): AuditedPort => ({
      Container: port.containerId,
      Name: store.get(port.containerId)?.name ?? "",
      Network: port.network,
      HostIp: port.hostIp,
      HostPort: port.hostPort,
      Protocol: port.protocol,
      ContainerIp: port.containerIp,
      ContainerPort: port.containerPort,
      Allow: port.allow ?? null,
      Reach: port.reach.map(({ from, by, sources, verdict, rule }) => ({
        From: from,
        By: by,
        Sources: sources,
        Verdict: verdict,
        Rule: rule === undefined ? null : { Table: rule.table, Chain: rule.chain, Handle: rule.handle ?? 0, Text: rule.text },
      })),
    }),
  );
  return { Ports: audited, Warnings: notes };
}

/** POST /containers/{id}/ports. @throws invalid, notFound, conflict, internal; nothing is changed then */
function changePorts(deps: ContainerDeps, ref: string, request: PortChangeRequest): Promise<PortChangeResponse> {
  return changeContainer(
    deps,
    ref,
    (container) => change(deps, container, request),
    ({ state }) => ({ Ports: isRunning(state) ? { ...state.network?.ports } : {} }),
  );
}

function change(deps: ContainerDeps, container: Container, { Remove, Add }: PortChangeRequest): void {
  const { state, spec } = container;
  const mode = networkMode(spec.hostConfig);
  if (mode === "host" || mode === "none" || mode.startsWith("container:")) {
    const what = mode.startsWith("container:") ? "container type" : mode;
    throw new DhowError("invalid", `conflicting options: port publishing and the ${what} network mode`);
  }
  const present = presentPorts(deps, container);
  const remove = (Remove ?? []).flatMap((removal) => publicationsMeant(container.name, present, removal));
  const kept = present.filter((port) => !remove.includes(port));
  const allows = changedAllows(spec.extensions, kept, Add ?? []);
  const add = (Add ?? []).map((publication) => requestOf(publication, allows));
  const specChange = changedSpec(spec, { kept, remove, add, allows });
  const specs = publishedPorts({ spec: { ...spec, ...specChange } });
  if (!isRunning(state)) {
    deps.store.updateSpec(container, specChange);
    return;
  }
  withSpecKept(container, () => {
    const sandbox = deps.network.changePorts(container.id, { remove, add, exposed: specs.exposed }, () =>
      deps.store.updateSpec(container, specChange),
    );
    deps.store.update(container, { network: sandboxState(deps, container, sandbox, state.pid) });
  });
}

/** What a container publishes: those of a running one with the ports that they got. */
function presentPorts(deps: ContainerDeps, container: Container): readonly PublishedPort[] {
  const running = isRunning(container.state) ? deps.network.publishedPorts(container.id) : undefined;
  return running ?? publishedPorts(container).requests.map((request) => ({ request, leases: [] }));
}

const keyOf = ({ containerPort, protocol }: PortRequest): string => `${containerPort}/${protocol}`;

type Allows = ReadonlyMap<string, readonly string[]>;

/**
 * The lists of sources by container port, with those that are added. All publications of a port have one list: a second one by a port
 * of the host that nobody thought of would take the first one's sense away.
 * @throws invalid, conflict
 */
function changedAllows(extensions: NetworkExtensions | undefined, kept: readonly PublishedPort[], add: readonly PortPublication[]): Allows {
  const before: Allows = new Map(extensions?.portAllows.map(({ port, sources }) => [port, sources]));
  const after = new Map(before);
  const given = new Map<string, string>();
  for (const { ContainerPort, Protocol = "tcp", Allow } of add) {
    if (!Allow) continue;
    const key = `${ContainerPort}/${Protocol.toLowerCase()}`;
    const sources = parseSources(Allow.join(","));
    const text = sources.toSorted().join(", ");
    const known = before.get(key);
    const isKept = kept.some(({ request }) => keyOf(request) === key);
    const present = given.get(key) ?? (isKept ? (known ?? []).toSorted().join(", ") : undefined);
    if (present !== undefined && present !== text) {
      const is = present === "" ? "is published without a list of sources" : `is published for ${present}`;
      throw new DhowError("conflict", `port ${key} ${is}: all that publishes it has the same list; remove it in the same call`);
    }
    given.set(key, text);
    after.set(key, sources);
  }
  return after;
}

/** @throws invalid in docker's words */
function requestOf({ ContainerPort, Protocol = "tcp", HostIp = "", HostPort = "" }: PortPublication, allow: Allows): PortRequest {
  if (!Number.isInteger(ContainerPort) || ContainerPort < 1) {
    throw new DhowError("invalid", `invalid port specification: ${JSON.stringify(String(ContainerPort))}`);
  }
  const portBindings = { [`${ContainerPort}/${Protocol}`]: [{ HostIp, HostPort }] };
  const [request] = parsePortSpecs({ exposedPorts: {}, portBindings, publishAll: false, allow }).requests;
  if (request === undefined) throw new DhowError("internal", `read the port ${ContainerPort}: nothing came of it`);
  return request;
}

interface Change {
  readonly kept: readonly PublishedPort[];
  readonly remove: readonly PublishedPort[];
  readonly add: readonly PortRequest[];
  readonly allows: Allows;
}

function changedSpec(spec: ContainerSpec, change: Change): Pick<ContainerSpec, "hostConfig" | "config" | "extensions"> {
  const { allows } = change;
  const portAllows = [...allows].map(([port, sources]) => ({ port, sources }));
  const isSameList = JSON.stringify(portAllows) === JSON.stringify(spec.extensions?.portAllows ?? []);
  const config: ContainerConfig = isSameList ? spec.config : { ...spec.config, Labels: withPortAllows(spec.config.Labels, portAllows) };
  return {
    hostConfig: { ...spec.hostConfig, ...changedBindings(spec.hostConfig, change) },
    config,
    ...(isSameList ? {} : { extensions: { ...spec.extensions, portAllows } }),
  };
}

/**
 * HostConfig as it would have been created with the ports. What `-P` publishes is told by its not being bound; where one of those goes,
 * or gets another binding, the others are written out.
 */
function changedBindings(hostConfig: HostConfig, { kept, remove, add }: Change): Pick<HostConfig, "PortBindings" | "PublishAllPorts"> {
  const bound = new Set(Object.keys(hostConfig.PortBindings ?? {}).map((key) => key.replace(/^(\d+)$/, "$1/tcp").toLowerCase()));
  const after = [...kept.map(({ request }) => request), ...add];
  const touched = new Set([...remove.map(({ request }) => request), ...add].map(keyOf));
  const isAll = hostConfig.PublishAllPorts === true && !remove.some(({ request }) => !bound.has(keyOf(request)));
  const bindings: Record<string, PortBinding[]> = {};
  for (const request of after) {
    const key = keyOf(request);
    if (isAll && !bound.has(key) && !touched.has(key)) continue;
    bindings[key] ??= [];
    bindings[key].push({ HostIp: request.hostIp, HostPort: hostPortText(request) });
  }
  return { PortBindings: bindings, PublishAllPorts: isAll };
}
