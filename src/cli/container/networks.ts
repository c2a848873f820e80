import { isIP } from "node:net";
import type { Kind } from "../flag-kinds.ts";

/** One `--network`. */
export interface NetworkAttachment {
  readonly target: string;
  readonly aliases: readonly string[];
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly linkLocalIps: readonly string[];
  readonly macAddress: string;
  readonly gatewayPriority: number;
}

const PLAIN: Omit<NetworkAttachment, "target"> = {
  aliases: [],
  driverOptions: {},
  ipv4: "",
  ipv6: "",
  linkLocalIps: [],
  macAddress: "",
  gatewayPriority: 0,
};

function address(value: string): string {
  if (isIP(value) === 0) throw new Error(`invalid IP address: ${value}`);
  return value;
}

function apply(network: NetworkAttachment, key: string, value: string, field: string): NetworkAttachment {
  switch (key) {
    case "name":
      return { ...network, target: value };
    case "alias":
      return { ...network, aliases: [...network.aliases, value] };
    case "ip":
      return { ...network, ipv4: address(value) };
    case "ip6":
      return { ...network, ipv6: address(value) };
    case "mac-address":
      return { ...network, macAddress: value };
    case "link-local-ip":
      return { ...network, linkLocalIps: [...network.linkLocalIps, address(value)] };
    case "driver-opt": {
      const at = value.indexOf("=");
      if (at <= 0) throw new Error("invalid key value pair format in driver options");
      return {
        ...network,
        driverOptions: { ...network.driverOptions, [value.slice(0, at).trim().toLowerCase()]: value.slice(at + 1).trim() },
      };
    }
    case "gw-priority":
      if (!/^-?\d+$/.test(value)) throw new Error(`invalid gw-priority (${value}): value must be an integer`);
      return { ...network, gatewayPriority: Number(value) };
    default:
      throw new Error(`invalid field key ${key}${field === "" ? "" : ""}`);
  }
}

/** `name`, or `name=…,alias=…,ip=…`. */
export const NETWORKS: Kind<readonly NetworkAttachment[]> = {
  initial: [],
  word: "network",
  parse: (text, previous) => {
    if (!/\w+=\w/.test(text)) return [...previous, { ...PLAIN, target: text }];
    let network: NetworkAttachment = { ...PLAIN, target: "" };
    for (const field of text.split(",")) {
      const at = field.indexOf("=");
      if (at <= 0) throw new Error(`invalid field ${field}`);
      network = apply(network, field.slice(0, at).trim().toLowerCase(), field.slice(at + 1).trim(), field);
    }
    if (network.target === "") throw new Error("network name/id is not specified");
    return [...previous, network];
  },
};
