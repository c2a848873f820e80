import { DhowError, type Logger } from "../lib/mod.ts";
import type { EgressPolicy } from "../spec/engine/mod.ts";
import type { Place } from "./defects.ts";
import type { InterfaceAddress, PluggedEndpoint } from "./drivers/driver.ts";
import type { PolicedPlace } from "./egress/egress-table.ts";
import { type Family, parseIp, parsePrefix } from "./ip.ts";
import type { OpenNetwork } from "./networks.ts";
import type { PortTarget } from "./port-allocator.ts";
import type { PublishedPlace } from "./port-audit.ts";
import type { Publisher } from "./publisher.ts";
import { gatewayEndpoint, type HeldEndpoint, type SandboxEndpoint, type StoredEndpoint } from "./sandbox.ts";

/** @throws invalid when nothing could hold a container to its policy on a network */
export function checkPoliced(egress: EgressPolicy | undefined, { config, on }: OpenNetwork): void {
  if (egress === undefined || on.isPoliced) return;
  throw new DhowError(
    "invalid",
    `conflicting options: egress policy and the network ${config.name}: what containers send there ${config.driver === "bridge" ? "is not all known to connection tracking (dhow.big-tcp)" : `does not pass the host's firewall (driver ${config.driver})`}`,
  );
}

/** Where a policy is held to. */
export function placeOf(
  { config, on }: OpenNetwork,
  { hostInterface = "", mac, addresses }: Pick<PluggedEndpoint, "hostInterface" | "mac" | "addresses">,
): PolicedPlace {
  return {
    bridge: on.bridge ?? "",
    hostInterface,
    mac,
    addresses: [addresses[4], addresses[6]].flatMap((a) => a?.address ?? []),
    subnets: config.pools.map(({ subnet }) => subnet),
  };
}

const isRouted = ({ config }: OpenNetwork, family: Family): boolean =>
  config.options[`com.docker.network.bridge.gateway_mode_ipv${family}`] === "routed";

/** Where the ports of a container lead: to the endpoint that is its way out, and to those of routed networks; undefined: nowhere. */
export function portTarget(endpoints: readonly HeldEndpoint[]): PortTarget | undefined {
  const gateway = gatewayEndpoint(endpoints);
  if (!gateway?.network.on.publishesPorts) return undefined;
  const { network, plugged } = gateway;
  return {
    ipv4: plugged.addresses[4]?.address,
    ipv6: plugged.addresses[6]?.address,
    isDirect: { 4: isRouted(network, 4), 6: isRouted(network, 6) },
    isReachable: network.on.hasReachablePorts ?? false,
    hostBinding: bindingOf(network.config.options["com.docker.network.bridge.host_binding_ipv4"]),
    others: endpoints.flatMap((e) => (e === gateway || !e.network.on.publishesPorts ? [] : routedAddresses(e))),
  };
}

function routedAddresses({ network, plugged }: HeldEndpoint): string[] {
  return ([4, 6] satisfies Family[]).flatMap((family) => (isRouted(network, family) ? (plugged.addresses[family]?.address ?? []) : []));
}

const bindingOf = (text = ""): string => (text === "0.0.0.0" || text === "::" ? "" : text);

/** An endpoint as its row has it. */
export function storedEndpoint({ interfaceName, plugged, wish }: HeldEndpoint): StoredEndpoint {
  const { addresses, mac, hostInterface } = plugged;
  return { interfaceName, ipv4: addresses[4]?.address, ipv6: addresses[6]?.address, mac, hostInterface, wish };
}

/** An endpoint as others see it. */
export function shownEndpoint({ network, interfaceName, plugged, wish }: HeldEndpoint): SandboxEndpoint {
  const { config, on } = network;
  return {
    networkId: config.id,
    networkName: config.name,
    endpointId: plugged.endpointId,
    interfaceName,
    macAddress: plugged.mac,
    ipv4: plugged.addresses[4],
    ipv6: plugged.addresses[6],
    gateway: plugged.addresses[4] === undefined ? "" : (on.gateway(4) ?? ""),
    ipv6Gateway: plugged.addresses[6] === undefined ? "" : (on.gateway(6) ?? ""),
    names: wish.names,
  };
}

/** An address of a row, with the prefix length of its network. */
function withPrefix({ config }: OpenNetwork, address: string | null | undefined): InterfaceAddress | undefined {
  if (!address) return undefined;
  const ip = parseIp(address);
  const pool = config.pools.map(({ subnet }) => parsePrefix(subnet)).find(({ family }) => family === ip.family);
  return { address, prefixLength: pool?.length ?? (ip.family === 4 ? 32 : 128) };
}

/** The command line makes small letters of all of a `--network`. */
const ENDPOINT_SYSCTL = /^net\.(ipv4|ipv6|mpls)\.(conf|neigh)\.(?:IFNAME|ifname)\.([a-z0-9_]+)=(.*)$/;

/** What is wrong with settings of an endpoint's interface, in docker's words: each has to be the interface's own. */
export function endpointSysctlFaults(text: string): string[] {
  return entriesOf(text)
    .filter((entry) => !ENDPOINT_SYSCTL.test(entry))
    .map(
      (entry) =>
        `unrecognised network interface sysctl '${entry}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'`,
    );
}

/** The files of an interface's settings. @throws invalid for what is not the interface's own */
export function endpointSysctls(text: string, interfaceName: string): { readonly path: string; readonly value: string }[] {
  const [fault] = endpointSysctlFaults(text);
  if (fault !== undefined) throw new DhowError("invalid", fault);
  return entriesOf(text).map((entry) => {
    const [, family = "", kind = "", name = "", value = ""] = ENDPOINT_SYSCTL.exec(entry) ?? [];
    return { path: `/proc/sys/net/${family}/${kind}/${interfaceName}/${name}`, value };
  });
}

const entriesOf = (text: string): string[] => (text === "" ? [] : text.split(","));

/** An endpoint that the last daemon wrote down; none when its interface, or its network, is gone. */
export function restoredEndpoint(
  deps: { readonly network: (id: string) => OpenNetwork; readonly log: Logger },
  row: { readonly network_id: string; readonly endpoint_id: string; readonly container_id: string; readonly details: string },
  present: ReadonlySet<string>,
): HeldEndpoint[] {
  const stored = JSON.parse(row.details) as StoredEndpoint;
  const hostInterface = stored.hostInterface ?? undefined;
  const isGone = hostInterface !== undefined && !present.has(hostInterface);
  try {
    const network = deps.network(row.network_id);
    const plugged: PluggedEndpoint = {
      containerId: row.container_id,
      endpointId: row.endpoint_id,
      interfaceName: stored.interfaceName,
      mac: stored.mac ?? "",
      hostInterface,
      addresses: { 4: withPrefix(network, stored.ipv4), 6: withPrefix(network, stored.ipv6) },
    };
    if (isGone) return [];
    const adopted = network.on.adopt?.({ ...plugged, names: stored.wish?.names ?? [] });
    if (adopted instanceof Promise)
      adopted.catch((error: unknown) => deps.log.warn("can't take up an endpoint", { endpoint: row.endpoint_id, error }));
    const wish = stored.wish ?? { networkId: row.network_id, names: [] };
    return [{ network, wish, interfaceName: stored.interfaceName, plugged }];
  } catch (error) {
    deps.log.error("an endpoint's network is not there", { container: row.container_id, network: row.network_id, error });
    return [];
  }
}

/** Where endpoints are, as the search for defects compares them. */
export function placesOf(endpoints: readonly Pick<PluggedEndpoint, "hostInterface" | "addresses">[]): Place[] {
  return endpoints.map(({ hostInterface, addresses }) => ({
    hostInterface,
    addresses: [addresses[4], addresses[6]].flatMap((a) => a?.address ?? []),
  }));
}

/** What containers publish, and where it leads. */
export function publishedPlaces(
  held: readonly { readonly containerId: string; readonly endpoints: readonly HeldEndpoint[] }[],
  publisher: Pick<Publisher, "leases">,
): PublishedPlace[] {
  return held.flatMap(({ containerId, endpoints }) => {
    const endpoint = gatewayEndpoint(endpoints);
    const bridge = endpoint?.network.on.bridge;
    if (endpoint === undefined || bridge === undefined) return [];
    const { addresses } = endpoint.plugged;
    return publisher.leases(containerId).flatMap((lease) => {
      const { protocol, hostIp, hostPort, containerPort, allow, isV6 } = lease;
      const containerIp = (isV6 ? addresses[6] : undefined)?.address ?? addresses[4]?.address;
      if (containerIp === undefined) return [];
      const place = { containerId, network: endpoint.network.config.name, bridge };
      const port = { protocol, hostIp, hostPort, containerIp, containerPort, allow };
      const isByDaemon = isV6 && addresses[6] === undefined;
      const published = { ...place, ...port, isByDaemon };
      const isAlsoReached = endpoint.network.on.hasReachablePorts && hostPort !== 0 && !isByDaemon;
      return isAlsoReached ? [published, { ...published, hostPort: 0 }] : [published];
    });
  });
}

/** IFNAMSIZ without the final NUL. */
const MAX_INTERFACE_NAME = 15;

/** Whether the kernel takes the name of an interface. @see dev_valid_name() of Linux, net/core/dev.c */
export function isInterfaceName(name: string): boolean {
  return name.length <= MAX_INTERFACE_NAME && /^[^\s/:]+$/.test(name) && name !== "." && name !== "..";
}
