import { DhowError, formatTime } from "../../lib/mod.ts";
import { allowsName, type EgressDenied, type EgressReport, ipProtocolName, isInSubnet, isMetadata } from "../../network/mod.ts";
import {
  type ContainerEgress,
  type EgressApi,
  type EgressChangeRequest,
  type EgressDenial,
  type EgressPolicy,
  type HostConfig,
  type NetworkExtensions,
  parseEgressAllow,
  parseEgressMode,
  withEgress,
} from "../../spec/engine/mod.ts";
import { changeContainer, withSpecKept } from "./change.ts";
import { isRunning, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import type { Container } from "./store.ts";

/** So many destinations are kept of a container that has ended. */
const MAX_KEPT = 256;

/** What a container did under its policy, as its record keeps it. */
export type EgressRecord = Pick<ContainerEgress, "Packets" | "DeniedPackets" | "Open" | "Denied" | "DeniedNames">;

/** Egress policies of containers. */
export function egressApi(deps: ContainerDeps): EgressApi {
  return {
    inspect: async (ref) => shown(deps, deps.store.find(ref)),
    change: (ref, request) => changeEgress(deps, ref, request),
  };
}

/** Tells of what containers try and may not reach, as events of the container. */
export function emitDenials(deps: Pick<ContainerDeps, "network" | "store" | "emit">): void {
  deps.network.watchDenials((id, denial) => {
    const container = deps.store.get(id);
    if (container !== undefined) emitContainer(deps.emit, "egress-denied", container, attributesOf(denial));
  });
}

function attributesOf(denial: EgressDenied): Readonly<Record<string, string>> {
  if (denial.kind === "name") return { "egress.name": denial.name };
  const { address, protocol, port, names } = denial;
  return {
    "egress.address": address,
    "egress.protocol": ipProtocolName(protocol),
    ...(port !== 0 && { "egress.port": String(port) }),
    ...(names.length > 0 && { "egress.name": names.join(",") }),
  };
}

/** A policy that nothing could hold a container to is refused. @throws invalid */
export function checkEgress(extensions: NetworkExtensions | undefined, hostConfig: HostConfig): void {
  const mode = networkMode(hostConfig);
  if (extensions?.egress === undefined || (mode !== "host" && !mode.startsWith("container:"))) return;
  throw new DhowError("invalid", `conflicting options: egress policy and the ${mode === "host" ? "host" : "container type"} network mode`);
}

function shown(deps: ContainerDeps, container: Container): ContainerEgress {
  const policy = container.spec.extensions?.egress;
  const report = isRunning(container.state) ? deps.network.egressReport(container.id) : undefined;
  const record = report === undefined ? container.state.egress : recordOf(report);
  const did: EgressRecord = record ?? { Packets: 0, DeniedPackets: 0, Open: [], Denied: [], DeniedNames: [] };
  const allow = policy === undefined ? [] : allowOf(policy);
  return {
    Id: container.id,
    Name: `/${container.name}`,
    Mode: policy?.mode ?? "none",
    Allow: allow,
    ...did,
    DeniedNames: did.DeniedNames.filter(({ Name }) => policy === undefined || !allowsName(policy, Name)),
    Suggested: policy === undefined ? [] : suggested(policy, did.Denied),
  };
}

const allowOf = ({ domains, networks }: EgressPolicy): string[] => [...domains, ...networks];

/** What a container did, for its record when it ends; undefined: it is under no policy. */
export function egressRecord(deps: Pick<ContainerDeps, "network" | "log">, id: string): EgressRecord | undefined {
  try {
    const report = deps.network.egressReport(id);
    if (report === undefined) return undefined;
    const record = recordOf(report);
    return { ...record, Open: [], Denied: record.Denied.slice(0, MAX_KEPT) };
  } catch (error) {
    deps.log.warn("what an egress policy has counted can't be read", { container: id, error });
    return undefined;
  }
}

function recordOf({ packets, deniedPackets, open, denied, refused }: EgressReport): EgressRecord {
  return {
    Packets: packets,
    DeniedPackets: deniedPackets,
    Open: open.map(({ names, address, expiresMs }) => ({ Names: names, Address: address, ExpiresInSeconds: Math.ceil(expiresMs / 1000) })),
    Denied: denied.map((one) => ({
      Address: one.address,
      Protocol: ipProtocolName(one.protocol),
      Port: one.port,
      Names: one.names,
      Packets: one.packets,
      LastSeen: timeText(one.lastAt),
    })),
    DeniedNames: refused.map(({ name, queries, lastAt }) => ({ Name: name, Queries: queries, LastSeen: timeText(lastAt) })),
  };
}

const timeText = (ms: number): string => formatTime(BigInt(Math.round(ms)) * 1_000_000n);

/** The list with what was denied: by its names where the container came by them, else by address. What no policy opens is left out. */
function suggested(policy: EgressPolicy, denied: readonly EgressDenial[]): string[] {
  const found = new Set(allowOf(policy));
  for (const { Address, Names } of denied) {
    const isAllowed = policy.networks.some((network) => isInSubnet(network, Address)) || Names.some((name) => allowsName(policy, name));
    if (isAllowed || isMetadata(Address)) continue;
    if (Names.length > 0) for (const name of Names) found.add(name);
    else found.add(`${Address}/${Address.includes(":") ? 128 : 32}`);
  }
  return [...found];
}

/** POST /containers/{id}/egress. @throws invalid, notFound, conflict; nothing is changed then */
function changeEgress(deps: ContainerDeps, ref: string, request: EgressChangeRequest): Promise<ContainerEgress> {
  return changeContainer(
    deps,
    ref,
    (container) => change(deps, container, request),
    (container) => shown(deps, container),
  );
}

function change(deps: ContainerDeps, container: Container, { Mode, Allow }: EgressChangeRequest): void {
  const { state, spec } = container;
  const before = spec.extensions?.egress ?? { mode: "enforce", domains: [], networks: [] };
  const policy: EgressPolicy = {
    ...before,
    ...(Mode !== undefined && Mode !== "" && { mode: parseEgressMode(Mode) }),
    ...(Allow && parseEgressAllow(Allow.join(","))),
  };
  const extensions: NetworkExtensions = { portAllows: [], ...spec.extensions, egress: policy };
  checkEgress(extensions, spec.hostConfig);
  const specChange = { extensions, config: { ...spec.config, Labels: withEgress(spec.config.Labels, policy) } };
  if (!isRunning(state) || deps.network.sandbox(container.id)?.endpoints.length === 0) {
    deps.store.updateSpec(container, specChange);
    return;
  }
  withSpecKept(container, () => deps.network.changeEgress(container.id, policy, () => deps.store.updateSpec(container, specChange)));
}
