import type { NetworkRow } from "../metadata/mod.ts";
import type { NetworkConfig } from "./network-config.ts";

/** The networks that every daemon has, and their drivers. */
export const PREDEFINED = [
  ["bridge", "bridge"],
  ["host", "host"],
  ["none", "null"],
] as const;

/** One of them as `docker network inspect` shows it; the bridge's addresses and options are its own. */
export function predefinedConfig({ name, id, driver, created_at: createdAt }: NetworkRow): NetworkConfig {
  return {
    name,
    id,
    createdAt,
    driver,
    scope: "local",
    isInternal: false,
    isAttachable: false,
    isConfigOnly: false,
    configFrom: "",
    hasIpv4: true,
    hasIpv6: false,
    ipamDriver: "default",
    ipamOptions: {},
    pools: [],
    hasOwnSubnets: false,
    options: {},
    labels: {},
  };
}
