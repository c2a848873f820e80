import { DhowError, randomId } from "../lib/mod.ts";
import type { EndpointsTable, NetworkRow } from "../metadata/mod.ts";
import type { NetworkConfig } from "./network-config.ts";

/** The networks that every daemon has, and their drivers. */
export const PREDEFINED = [
  ["bridge", "bridge"],
  ["host", "host"],
  ["none", "null"],
] as const;

/** One of them as `docker network inspect` shows it; the bridge's addresses and options are its own. */
function predefinedConfig({ name, id, driver, created_at: createdAt }: NetworkRow): NetworkConfig {
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
    options: {},
    labels: {},
  };
}

/** The predefined networks of this daemon: each keeps the id that it was given once. */
export class Predefined {
  readonly #table: EndpointsTable;
  readonly #configs = new Map<string, NetworkConfig>();

  constructor(table: EndpointsTable) {
    this.#table = table;
  }

  /** Takes them up, those of a first start anew. */
  start({ hasBridge }: { readonly hasBridge: boolean }): void {
    const known = new Map(this.#table.networks().map((row) => [row.name, row]));
    for (const [name, driver] of PREDEFINED) {
      if (name === "bridge" && !hasBridge) continue;
      const created = { name, id: randomId(), driver, created_at: new Date().toISOString().replace("Z", "000000Z"), subnet: null };
      const row = known.get(name) ?? created;
      if (!known.has(name)) this.#table.putNetwork(row);
      this.#configs.set(name, predefinedConfig(row));
    }
  }

  /** The default bridge, as far as it is known without its subnets. @throws internal where the daemon has none */
  bridge(): { readonly config: NetworkConfig; readonly formerSubnet: string | undefined } {
    const config = this.#configs.get("bridge");
    if (config === undefined) throw new DhowError("internal", "find the network bridge: it is not there");
    return { config, formerSubnet: this.#table.networks().find(({ name }) => name === "bridge")?.subnet ?? undefined };
  }

  /** The default bridge has its subnets. */
  setBridge(config: NetworkConfig, formerSubnet: string | undefined): void {
    this.#configs.set("bridge", config);
    const { id, driver, createdAt: created_at } = config;
    const subnet = config.pools[0]?.subnet;
    if (subnet !== undefined && subnet !== formerSubnet) this.#table.putNetwork({ name: "bridge", id, driver, created_at, subnet });
  }

  get(name: string): NetworkConfig | undefined {
    return this.#configs.get(name);
  }

  list(): readonly NetworkConfig[] {
    return [...this.#configs.values()];
  }
}
