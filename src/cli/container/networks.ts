import type { EndpointSettings } from "../../spec/engine/mod.ts";
import { csvFields } from "../csv.ts";
import type { Kind } from "../flag-kinds.ts";
import { checkMac } from "./names.ts";

/** One `--network`. */
export interface NetworkAttachment {
  readonly target: string;
  readonly aliases: readonly string[];
  readonly links: readonly string[];
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly linkLocalIps: readonly string[];
  readonly macAddress: string;
  readonly gatewayPriority: number;
}

const PLAIN: Omit<NetworkAttachment, "target"> = {
  aliases: [],
  links: [],
  driverOptions: {},
  ipv4: "",
  ipv6: "",
  linkLocalIps: [],
  macAddress: "",
  gatewayPriority: 0,
};

function priority(value: string): number {
  const isInteger = /^[+-]?\d+$/.test(value);
  if (isInteger && Number.isSafeInteger(Number(value))) return Number(value);
  throw new Error(`invalid gw-priority (${value}): ${isInteger ? "value out of range" : "invalid syntax"}`);
}

function apply(network: NetworkAttachment, key: string, value: string): NetworkAttachment {
  switch (key) {
    case "name":
      return { ...network, target: value };
    case "alias":
      return { ...network, aliases: [...network.aliases, value] };
    // the engine says what is wrong with an address
    case "ip":
      return { ...network, ipv4: value };
    case "ip6":
      return { ...network, ipv6: value };
    case "mac-address":
      return { ...network, macAddress: value };
    case "link-local-ip":
      return { ...network, linkLocalIps: [...network.linkLocalIps, value] };
    case "driver-opt": {
      const at = value.indexOf("=");
      if (at <= 0) throw new Error("invalid key value pair format in driver options");
      return {
        ...network,
        driverOptions: { ...network.driverOptions, [value.slice(0, at).trim().toLowerCase()]: value.slice(at + 1).trim() },
      };
    }
    case "gw-priority":
      return { ...network, gatewayPriority: priority(value) };
    default:
      throw new Error(`invalid field key ${key}`);
  }
}

/** `name`, or `name=…,alias=…,ip=…`. */
export const NETWORKS: Kind<readonly NetworkAttachment[]> = {
  initial: [],
  word: "network",
  parse: (text, previous) => {
    if (!/\w+=\w/.test(text)) return [...previous, { ...PLAIN, target: text }];
    let network: NetworkAttachment = { ...PLAIN, target: "" };
    for (const field of csvFields(text)) {
      const at = field.indexOf("=");
      if (at <= 0) throw new Error(`invalid field ${field}`);
      network = apply(network, field.slice(0, at).trim().toLowerCase(), field.slice(at + 1).trim());
    }
    if (network.target === "") throw new Error("network name/id is not specified");
    return [...previous, network];
  },
};

/** Flags from the time of one network: they are about the first. */
export interface FirstNetworkFlags {
  readonly "network-alias": readonly string[];
  readonly link: readonly string[];
  readonly ip: string;
  readonly ip6: string;
  readonly "link-local-ip": readonly string[];
  readonly "mac-address": string;
}

function isUserDefined(target: string): boolean {
  return !["default", "bridge", "host", "none"].includes(target) && !/^container(?:$|:)/.test(target);
}

/** A network with what is said of the first one beside it. @throws Error in docker's words */
function withFirst(network: NetworkAttachment, flags: FirstNetworkFlags): NetworkAttachment {
  const { aliases, ipv4, ipv6, macAddress, linkLocalIps } = network;
  const twice = (flag: string, what: string): Error =>
    new Error(`conflicting options: cannot specify both --${flag} and per-network ${what}`);
  if (aliases.length > 0 && flags["network-alias"].length > 0) throw twice("network-alias", "alias");
  if (ipv4 !== "" && flags.ip !== "") throw twice("ip", "IPv4 address");
  if (ipv6 !== "" && flags.ip6 !== "") throw twice("ip6", "IPv6 address");
  if (macAddress !== "" && flags["mac-address"] !== "") throw twice("mac-address", "MAC address");
  if (linkLocalIps.length > 0 && flags["link-local-ip"].length > 0) throw twice("link-local-ip", "link-local IP addresses");
  return {
    ...network,
    aliases: [...aliases, ...flags["network-alias"]],
    // those of the default network are the container's
    links: isUserDefined(network.target) ? flags.link : [],
    ipv4: ipv4 || flags.ip,
    ipv6: ipv6 || flags.ip6,
    macAddress: macAddress || flags["mac-address"],
    linkLocalIps: [...linkLocalIps, ...flags["link-local-ip"]],
  };
}

function settingsOf(network: NetworkAttachment): EndpointSettings {
  const { target, aliases, links, driverOptions, ipv4, ipv6, linkLocalIps, macAddress } = network;
  if (target.trim() === "") throw new Error("no name set for network");
  if (aliases.length > 0 && !isUserDefined(target)) throw new Error("network-scoped aliases are only supported for user-defined networks");
  const addresses = {
    ...(ipv4 && { IPv4Address: ipv4 }),
    ...(ipv6 && { IPv6Address: ipv6 }),
    ...(linkLocalIps.length > 0 && { LinkLocalIPs: linkLocalIps }),
  };
  return {
    ...(Object.keys(addresses).length > 0 && { IPAMConfig: addresses }),
    ...(links.length > 0 && { Links: links }),
    ...(aliases.length > 0 && { Aliases: aliases }),
    ...(macAddress !== "" && { MacAddress: checkMac(macAddress) }),
    ...(Object.keys(driverOptions).length > 0 && { DriverOpts: driverOptions }),
    ...(network.gatewayPriority !== 0 && { GwPriority: network.gatewayPriority }),
  };
}

/** The endpoints that a request for a container asks for, by the networks' names. @throws Error in docker's words */
export function endpointsOf(networks: readonly NetworkAttachment[], flags: FirstNetworkFlags): Readonly<Record<string, EndpointSettings>> {
  const [first = { ...PLAIN, target: "default" }, ...rest] = networks;
  const endpoints = new Map<string, EndpointSettings>();
  for (const network of [withFirst(first, flags), ...rest]) {
    const settings = settingsOf(network);
    if (endpoints.has(network.target)) throw new Error(`network ${JSON.stringify(network.target)} is specified multiple times`);
    // a single one of which nothing is said is the network mode
    if (networks.length === 1 && Object.keys(settings).length === 0) continue;
    endpoints.set(network.target, settings);
  }
  const kinds = new Set(networks.map(({ target }) => isUserDefined(target)));
  if (kinds.size > 1) throw new Error("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
  return Object.fromEntries(endpoints);
}
