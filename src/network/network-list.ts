import type { SubnetUse } from "./addresses.ts";
import type { BridgeNetwork } from "./drivers/bridge.ts";
import type { PluggedEndpoint } from "./drivers/driver.ts";
import { parseIp } from "./ip.ts";
import type { NetworkConfig } from "./network-config.ts";
import type { Networks, OpenNetwork } from "./networks.ts";
import type { BridgePlace } from "./port-audit.ts";
import type { Predefined } from "./predefined.ts";

/** A network as `docker network inspect` needs it. */
export interface NetworkFacts extends NetworkConfig {
  /** One that every daemon has. */
  readonly isPredefined: boolean;
}

/** The network that containers are on which ask for none. */
export interface DefaultBridge {
  readonly id: string;
  readonly on: BridgeNetwork;
  readonly network: OpenNetwork;
}

export interface NetworkListDeps {
  readonly predefined: Predefined;
  readonly networks: Networks;
  readonly defaultBridge: () => DefaultBridge | undefined;
  /** Endpoints of nobody that have addresses all the same: of sandboxes made ahead, and of those that are being torn down. */
  readonly resting: () => readonly Pick<PluggedEndpoint, "addresses">[];
}

/** All networks of a daemon, to be looked up: those that every daemon has, and those of users. */
export class NetworkList {
  readonly #deps: NetworkListDeps;

  constructor(deps: NetworkListDeps) {
    this.#deps = deps;
  }

  configs(): NetworkConfig[] {
    return [...this.#deps.predefined.list(), ...this.#deps.networks.list()];
  }

  all(): NetworkFacts[] {
    const predefined = this.#deps.predefined.list().map((config) => ({ ...config, isPredefined: true }));
    return [...predefined, ...this.#deps.networks.list().map((config) => ({ ...config, isPredefined: false }))];
  }

  /** By its id, its name, or a beginning of its id that no other has. */
  find(ref: string): NetworkFacts | undefined {
    const all = this.all();
    const exact = all.find(({ id }) => id === ref) ?? all.find(({ name }) => name === ref);
    if (exact !== undefined || ref === "") return exact;
    const [found, ...others] = all.filter(({ id }) => id.startsWith(ref));
    return others.length === 0 ? found : undefined;
  }

  /** By its name alone. */
  called(name: string): NetworkFacts | undefined {
    return this.all().find((network) => network.name === name);
  }

  /** Those that are open, the default bridge first. */
  opened(): readonly OpenNetwork[] {
    const bridge = this.#deps.defaultBridge();
    return [...(bridge ? [bridge.network] : []), ...this.#deps.networks.opened()];
  }

  /** The open network of an id. @throws notFound; what its driver said when it could not be opened */
  open(id: string): OpenNetwork {
    const bridge = this.#deps.defaultBridge();
    return id === bridge?.id ? bridge.network : this.#deps.networks.open(id);
  }

  isOpen(name: string): boolean {
    return this.#deps.predefined.get(name) !== undefined || this.#deps.networks.opened().some(({ config }) => config.name === name);
  }

  bridgeOf(id: string): string | undefined {
    return this.opened().find(({ config }) => config.id === id)?.on.bridge;
  }

  subnetUses(id: string): readonly SubnetUse[] {
    const on = this.opened().find(({ config }) => config.id === id)?.on;
    const resting = this.#deps
      .resting()
      .flatMap(({ addresses }) => [addresses[4], addresses[6]].flatMap((a) => (a ? parseIp(a.address) : [])));
    return on?.addresses?.uses(resting) ?? [];
  }

  /** The bridges whose containers get out. */
  bridgePlaces(): BridgePlace[] {
    return this.opened().flatMap(({ config, on }) =>
      on.bridge === undefined || config.isInternal
        ? []
        : { network: config.name, bridge: on.bridge, subnets: config.pools.map(({ subnet }) => subnet) },
    );
  }
}
