import { isIP } from "node:net";
import { DhowError } from "../../lib/mod.ts";
import type { EndpointWish, Networking, SandboxEndpoint } from "../../network/mod.ts";
import { endpointSysctlFaults, isInSubnet, parseMac } from "../../network/mod.ts";
import { type ContainerCreateRequest, ENDPOINT_SYSCTLS, type EndpointSettings, type HostConfig } from "../../spec/engine/mod.ts";
import { networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { parseLink } from "./links.ts";
import type { Container } from "./store.ts";

const LINK_LOCAL = ["169.254.0.0/16", "fe80::/10"] as const;
const PREDEFINED: ReadonlySet<string> = new Set(["bridge", "host", "none", "default"]);

/** An endpoint that is not plugged in. */
export function emptyEndpoint(): EndpointSettings {
  return {
    IPAMConfig: null,
    Links: null,
    Aliases: null,
    DriverOpts: null,
    GwPriority: 0,
    NetworkID: "",
    EndpointID: "",
    Gateway: "",
    IPAddress: "",
    MacAddress: "",
    IPPrefixLen: 0,
    IPv6Gateway: "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
}

/** Several faults in one text, as docker joins them. */
export function joinFaults(faults: readonly string[]): string {
  return faults.length === 1 ? (faults[0] ?? "") : faults.map((fault) => `* ${fault.replaceAll("\n", "\n\t")}`).join("\n");
}

/**
 * Checks what is asked of an endpoint; without a network, what can be told before that is known.
 * @throws invalid in docker's words
 * @see daemon/container_operations.go of moby v29, validateEndpointSettings
 */
export function checkEndpoint(name: string, settings: EndpointSettings, network?: ReturnType<Networking["network"]>): void {
  const { IPv4Address = "", IPv6Address = "", LinkLocalIPs } = settings.IPAMConfig ?? {};
  const faults: string[] = [];
  if (PREDEFINED.has(name)) {
    if (IPv4Address !== "" || IPv6Address !== "") faults.push("user-specified IP address is supported on user-defined networks only");
    if (settings.Aliases?.length) faults.push("network-scoped aliases are only supported for user-defined networks");
  }
  const check = (text: string, what: string, isOf: (text: string) => boolean): void => {
    if (text !== "" && !isOf(text)) faults.push(`invalid ${what}: ${text}`);
  };
  check(IPv4Address, "IPv4 address", (text) => isAddress(text, 4));
  check(IPv6Address, "IPv6 address", (text) => isAddress(text, 6));
  for (const text of LinkLocalIPs ?? []) check(text, "link-local IP address", (t) => isAddress(t, 4) || isAddress(t, 6));
  if (network !== undefined && !network.isPredefined) {
    if (isAddress(IPv4Address, 4)) faults.push(...rangeFaults(IPv4Address, 4, network));
    if (isAddress(IPv6Address, 6)) faults.push(...rangeFaults(IPv6Address, 6, network));
  }
  faults.push(...endpointSysctlFaults(settings.DriverOpts?.[ENDPOINT_SYSCTLS] ?? ""));
  if (faults.length > 0) throw new DhowError("invalid", `invalid endpoint settings:\n${joinFaults(faults)}`);
  if (settings.MacAddress) parseMac(settings.MacAddress);
}

function isAddress(text: string, family: 4 | 6): boolean {
  return isIP(text) === family;
}

function rangeFaults(text: string, family: 4 | 6, network: NonNullable<ReturnType<Networking["network"]>>): string[] {
  const subnets = network.pools.filter(({ subnet }) => subnet.includes(":") === (family === 6));
  return subnets.some(({ subnet }) => isInSubnet(subnet, text)) ? [] : [`no configured subnet contains IP address ${text}`];
}

/**
 * The endpoints that a container is created with, by network: those of the request, else the one of its network mode. @throws invalid
 * @see daemon/container_operations.go of moby v29, updateContainerNetworkSettings
 */
export function requestedEndpoints(
  deps: Pick<ContainerDeps, "network">,
  request: ContainerCreateRequest,
  hostConfig: HostConfig,
): Record<string, EndpointSettings> {
  const mode = networkMode(hostConfig);
  const asked = { ...request.NetworkingConfig?.EndpointsConfig };
  if (mode.startsWith("container:")) {
    if (Object.keys(asked).length > 0) {
      throw new DhowError(
        "invalid",
        "container sharing network namespace with another container or host cannot be connected to any other network",
      );
    }
    return {};
  }
  const nameOf = (ref: string): string => (ref === "default" ? "bridge" : (deps.network.network(ref)?.name ?? ref));
  const primary = nameOf(mode);
  const isAlone = Object.keys(asked).length === 0 || primary === "host" || primary === "none";
  const endpoints: Record<string, EndpointSettings> = isAlone ? { [primary]: emptyEndpoint() } : {};
  checkRequested(deps, asked);
  for (const [ref, settings] of Object.entries(asked)) {
    const name = nameOf(ref);
    endpoints[name] = configured(settings, deps.network.network(name)?.id);
  }
  const names = Object.keys(endpoints);
  if (names.length > 1 && names.includes("none")) {
    throw new DhowError("invalid", "container cannot be connected to multiple networks with one of the networks in private (none) mode");
  }
  if (names.length > 1 && names.includes("host")) {
    throw new DhowError(
      "invalid",
      "container sharing network namespace with another container or host cannot be connected to any other network",
    );
  }
  return endpoints;
}

/** A network that isn't there yet may be there at the start. @throws invalid: all faults of all endpoints, in docker's words */
function checkRequested(deps: Pick<ContainerDeps, "network">, asked: Readonly<Record<string, EndpointSettings>>): void {
  const faults = Object.entries(asked).flatMap(([ref, settings]) => {
    const network = deps.network.network(ref);
    try {
      checkEndpoint(network?.name ?? ref, settings, network);
      return [];
    } catch (error) {
      if (!(error instanceof DhowError) || error.kind !== "invalid") throw error;
      return `invalid config for network ${ref}: ${error.message}`;
    }
  });
  if (faults.length > 0) throw new DhowError("invalid", joinFaults(faults));
}

/** What was asked of an endpoint, without what only a running one has. */
export function configured(settings: EndpointSettings, networkId = ""): EndpointSettings {
  const { IPAMConfig, Links, Aliases, DriverOpts, GwPriority, MacAddress } = settings;
  return {
    ...emptyEndpoint(),
    IPAMConfig: IPAMConfig ?? null,
    Links: Links?.length ? Links : null,
    Aliases: Aliases?.length ? Aliases : null,
    DriverOpts: DriverOpts ?? null,
    GwPriority: GwPriority ?? 0,
    MacAddress: MacAddress ?? "",
    NetworkID: networkId,
  };
}

/** The names that others on a user's network know a container by, in docker's order. */
export function namesOn(container: Container, settings: EndpointSettings): string[] {
  const { id, name, spec } = container;
  const { Hostname = "" } = spec.config;
  return [...new Set([name, ...(settings.Aliases ?? []), id.slice(0, 12), ...(Hostname === "" ? [] : [Hostname])])];
}

/** What a container wants of one network. @throws notFound, invalid in docker's words */
export function endpointWish(deps: ContainerDeps, container: Container, name: string, settings: EndpointSettings): EndpointWish {
  const network = deps.network.networkCalled(name) ?? deps.network.network(settings.NetworkID ?? "");
  if (network === undefined) throw new DhowError("notFound", `network ${name} not found`);
  checkEndpoint(network.name, settings, network);
  const { IPv4Address, IPv6Address, LinkLocalIPs } = settings.IPAMConfig ?? {};
  for (const text of LinkLocalIPs ?? []) {
    if (!LINK_LOCAL.some((prefix) => isInSubnet(prefix, text))) throw new DhowError("invalid", `invalid link local IP address: ${text}`);
  }
  return {
    networkId: network.id,
    ipv4: IPv4Address || undefined,
    ipv6: IPv6Address || undefined,
    ...(LinkLocalIPs?.length && { linkLocalIps: LinkLocalIPs }),
    mac: settings.MacAddress || undefined,
    names: network.isPredefined ? [] : namesOn(container, settings),
    ...(settings.Links?.length && { links: linksOf(deps, settings.Links) }),
    ...(settings.DriverOpts && { options: settings.DriverOpts }),
    gwPriority: settings.GwPriority ?? 0,
    ...((hasNoIpv6(container) || isIpv6Disabled(settings)) && { isWithoutIpv6: true }),
  };
}

/** Whether a container's sysctls switch IPv6 off, on its loopback too: then it has no address of that family, and nobody knows it by one. */
export function hasNoIpv6({ spec }: Container): boolean {
  const { Sysctls } = spec.hostConfig;
  return ["all", "lo"].some((name) => Sysctls?.[`net.ipv6.conf.${name}.disable_ipv6`] === "1");
}

/** The same for one of its interfaces, by the endpoint's own settings. */
function isIpv6Disabled({ DriverOpts }: EndpointSettings): boolean {
  const sysctls = (DriverOpts?.[ENDPOINT_SYSCTLS] ?? "").toLowerCase().split(",");
  return sysctls.includes("net.ipv6.conf.ifname.disable_ipv6=1");
}

/** On a user's network a link is another name for a container, that this one alone has; for one who isn't there yet, for its name. */
function linksOf(deps: ContainerDeps, links: readonly string[]): Record<string, string> {
  const idOf = (name: string): string => deps.store.tryFind(name)?.id ?? name;
  return Object.fromEntries(links.map(parseLink).map(({ name, alias }) => [alias.toLowerCase(), idOf(name)]));
}

/**
 * A container's endpoints in the order of its interfaces: its network mode's first, then by priority and name. One that was disconnected from
 * all has none, whatever its mode.
 */
export function endpointWishes(deps: ContainerDeps, container: Container): EndpointWish[] {
  const { endpoints, hostConfig } = container.spec;
  const mode = networkMode(hostConfig);
  const primary = deps.network.network(mode)?.name ?? mode;
  const rank = ([name, { GwPriority = 0 }]: [string, EndpointSettings]): number =>
    name === primary ? Number.NEGATIVE_INFINITY : -GwPriority;
  // without a default bridge (`--bridge none`) who wants that has no network
  const isThere = (name: string): boolean => name !== "bridge" || deps.network.network(name) !== undefined;
  const all = Object.entries(endpoints).filter(([name]) => name !== "none" && name !== "host" && isThere(name));
  return all
    .sort((a, b) => rank(a) - rank(b) || (a[0] < b[0] ? -1 : 1))
    .map(([name, settings]) => endpointWish(deps, container, name, settings));
}

/** What inspect shows of an endpoint that is plugged in. */
export function pluggedEndpoint(settings: EndpointSettings | undefined, endpoint: SandboxEndpoint): EndpointSettings {
  return {
    ...emptyEndpoint(),
    ...settings,
    NetworkID: endpoint.networkId,
    EndpointID: endpoint.endpointId,
    Gateway: endpoint.gateway,
    IPAddress: endpoint.ipv4?.address ?? "",
    IPPrefixLen: endpoint.ipv4?.prefixLength ?? 0,
    IPv6Gateway: endpoint.ipv6Gateway,
    GlobalIPv6Address: endpoint.ipv6?.address ?? "",
    GlobalIPv6PrefixLen: endpoint.ipv6?.prefixLength ?? 0,
    MacAddress: endpoint.macAddress,
    DNSNames: endpoint.names.length > 0 ? endpoint.names : null,
  };
}
