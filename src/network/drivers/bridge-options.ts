import { DhowError, parseGoBool } from "../../lib/mod.ts";
import { isInterfaceName } from "../endpoint-forms.ts";
import type { GatewayMode } from "../firewall-elements.ts";
import type { Family } from "../ip.ts";
import { doOverlap, formatIp, formatPrefix, parsePrefix, tryParseIp } from "../ip.ts";
import type { NetworkRequest, PoolRequest } from "../network-config.ts";

/** What `com.docker.network.*` options of a bridge network say. */
export interface BridgeSettings {
  /** Of the interface; undefined: after the network's id. */
  readonly name: string | undefined;
  readonly mtu: number;
  readonly icc: boolean;
  readonly masquerade: boolean;
  /** Where ports are published that name no address; empty: every address. */
  readonly hostBinding: string;
  readonly modes: Readonly<Record<Family, GatewayMode>>;
  /** Interfaces by which others reach published ports on the containers' own addresses. */
  readonly trusted: readonly string[];
  /** What containers go out as, in place of the outgoing interface's address. */
  readonly hostIps: Readonly<Record<Family, string | undefined>>;
  /** The bridge has no IPv4 address of its own: somebody else is the gateway. */
  readonly inhibitsIpv4: boolean;
  /** Of the interfaces in containers. */
  readonly interfacePrefix: string;
  /**
   * What containers send each other is passed on in packets of up to three times the usual size. Connection tracking takes many of those for
   * invalid, so nothing may depend on it: no translation, no policy.
   */
  readonly hasBigTcp: boolean;
}

const MODES = ["nat", "nat-unprotected", "routed", "isolated"] as const;
const DEFAULT_MTU = 1500;

/** An option whose value is none. */
function unparsable(key: string, text: string, why: string): DhowError {
  return new DhowError("invalid", `failed to parse ${key} value: ${text} (${why})`);
}

/** What docker says of options without a value, which networks of the first versions may have. */
const WITHOUT_VALUE: Readonly<Record<string, string>> = {
  "com.docker.network.bridge.gateway_mode_ipv4": "unknown gateway mode ",
  "com.docker.network.bridge.gateway_mode_ipv6": "unknown gateway mode ",
  "com.docker.network.bridge.host_binding_ipv4": "nil ip",
  "com.docker.network.host_ipv4": "nil ip",
  "com.docker.network.host_ipv6": "nil ip",
  "com.docker.network.driver.mtu": 'strconv.Atoi: parsing "": invalid syntax',
};

/** Refuses options of a new network that have no value. @throws invalid in docker's words */
export function checkValues(options: Readonly<Record<string, string>>): void {
  for (const [key, why] of Object.entries(WITHOUT_VALUE)) if (options[key] === "") throw unparsable(key, "", why);
}

/**
 * Refuses subnets that no bridge can have. @throws invalid in docker's words
 * @see drivers/bridge/bridge_linux.go of moby v29, validateIPv6Subnet
 */
export function checkIpv6Subnet({ subnet: text = "", gateway }: PoolRequest): void {
  if (!text.includes(":")) return;
  const subnet = parsePrefix(text);
  const own = `${gateway || formatIp({ family: 6, value: subnet.network + 1n })}/${subnet.length}`;
  if (doOverlap(subnet, MULTICAST)) throw new DhowError("invalid", `multicast subnet '${own}' is not allowed`);
  if (doOverlap(subnet, LINK_LOCAL) && formatPrefix(subnet) !== formatPrefix(LINK_LOCAL)) {
    throw new DhowError("invalid", `'${own}' clashes with the Link-Local prefix 'fe80::/64'`);
  }
}

const MULTICAST = parsePrefix("ff00::/8");
const LINK_LOCAL = parsePrefix("fe80::/64");

function boolean(options: Readonly<Record<string, string>>, key: string, preset: boolean): boolean {
  const text = options[key];
  if (text === undefined) return preset;
  const value = parseGoBool(text);
  if (value === undefined) {
    throw unparsable(key, text, `strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  return value;
}

function mode(options: Readonly<Record<string, string>>, family: Family, isInternal: boolean): GatewayMode {
  const key = `com.docker.network.bridge.gateway_mode_ipv${family}`;
  const text = options[key];
  if (text === undefined || text === "") return "nat";
  const found = MODES.find((m) => m === text);
  if (found === undefined) throw unparsable(key, text, `unknown gateway mode ${text}`);
  if (found === "isolated" && !isInternal)
    throw new DhowError("invalid", "gateway mode 'isolated' can only be used for an internal network");
  return found;
}

function address(options: Readonly<Record<string, string>>, key: string, family?: Family): string | undefined {
  const text = options[key];
  if (text === undefined || text === "") return undefined;
  const ip = tryParseIp(text);
  if (ip === undefined || (family !== undefined && ip.family !== family)) {
    throw unparsable(key, text, "nil ip");
  }
  return text;
}

function mtu(options: Readonly<Record<string, string>>, preset: number): number {
  const key = "com.docker.network.driver.mtu";
  const text = options[key];
  if (text === undefined || text === "") return preset;
  if (!/^-?\d+$/.test(text)) {
    throw unparsable(key, text, `strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  }
  if (Number(text) < 0) throw new DhowError("invalid", `invalid MTU number: ${text}`);
  return Number(text) || preset;
}

function interfaceName(options: Readonly<Record<string, string>>): string | undefined {
  const name = options["com.docker.network.bridge.name"];
  if (name === undefined || name === "") return undefined;
  if (!isInterfaceName(name)) {
    throw new DhowError(
      "invalid",
      `invalid bridge name ${JSON.stringify(name)}: an interface has 1 to 15 characters, no blank, "/" or ":"`,
    );
  }
  return name;
}

/** A list with colons between. */
function trustedInterfaces(options: Readonly<Record<string, string>>): readonly string[] {
  const key = "com.docker.network.bridge.trusted_host_interfaces";
  const text = options[key] ?? "";
  const names = [...new Set(text.split(":").filter((name) => name !== ""))];
  const bad = names.find((name) => !isInterfaceName(name));
  if (bad === undefined) return names;
  throw new DhowError("invalid", `failed to parse ${key} value: ${text} (invalid interface name ${JSON.stringify(bad)})`);
}

function bigTcp({ options, isInternal }: Pick<NetworkRequest, "options" | "isInternal">): boolean {
  const key = "dhow.big-tcp";
  const isWanted = boolean(options, key, false);
  if (!isWanted || isInternal) return isWanted;
  throw new DhowError(
    "invalid",
    `${key} is for internal networks: published ports and what leaves the host would be slower; add --internal`,
  );
}

/** Reads the options of a bridge network. @throws invalid */
export function bridgeSettings(request: Pick<NetworkRequest, "options" | "isInternal">, defaultMtu = DEFAULT_MTU): BridgeSettings {
  const { options, isInternal } = request;
  const prefix = options["com.docker.network.container_iface_prefix"];
  return {
    name: interfaceName(options),
    mtu: mtu(options, defaultMtu),
    icc: boolean(options, "com.docker.network.bridge.enable_icc", true),
    masquerade: boolean(options, "com.docker.network.bridge.enable_ip_masquerade", true),
    hostBinding: address(options, "com.docker.network.bridge.host_binding_ipv4") ?? "",
    modes: { 4: mode(options, 4, isInternal), 6: mode(options, 6, isInternal) },
    trusted: trustedInterfaces(options),
    hostIps: { 4: address(options, "com.docker.network.host_ipv4", 4), 6: address(options, "com.docker.network.host_ipv6", 6) },
    inhibitsIpv4: boolean(options, "com.docker.network.bridge.inhibit_ipv4", false),
    interfacePrefix: prefix === undefined || prefix === "" ? "eth" : prefix,
    hasBigTcp: bigTcp(request),
  };
}
