import { DhowError, type Logger } from "../lib/mod.ts";
import type { EndpointsTable } from "../metadata/mod.ts";
import type { DriverNetwork, NetworkDriver } from "./drivers/driver.ts";
import { doOverlap, formatPrefix, type Prefix, parsePrefix } from "./ip.ts";
import { ANY_SUBNET, chooseSubnet, type PoolSpec, poolsOfSize } from "./ipam.ts";
import type { IpamGrants } from "./ipam-grants.ts";
import { allocatePools, IpamNetwork, isIpamPlugin } from "./ipam-network.ts";
import {
  BRIDGE_DRIVER,
  checkPools,
  familiesOf,
  type IpamPool,
  type NetworkConfig,
  type NetworkRequest,
  type NetworkWish,
} from "./network-config.ts";
import { asComplete, checkAuxAddresses, checkWithoutAddresses, givenPools, withFamilies, withGateway } from "./network-request.ts";

/** A network that containers can be plugged into. */
export interface OpenNetwork {
  readonly config: NetworkConfig;
  readonly on: DriverNetwork;
  /** Endpoints that are being made on it: it must not go meanwhile. */
  busy: number;
}

export interface NetworksDeps {
  readonly table: EndpointsTable;
  readonly log: Logger;
  /** The driver of a name; undefined when there is none. */
  readonly driver: (name: string) => Promise<NetworkDriver | undefined> | NetworkDriver | undefined;
  /** Names of the networks that every daemon has. */
  readonly predefined: readonly string[];
  /** Networks that are in use outside: the host's routes, its name servers, the default bridge. */
  readonly taken: () => readonly Prefix[];
  readonly pools: readonly PoolSpec[];
  /** What IPAM plug-ins gave. */
  readonly grants: IpamGrants;
  /** Options that new networks have unless they say otherwise, by driver. */
  readonly defaultOptions: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** The container names and endpoint ids on a network, of running containers. */
  readonly endpoints: (networkId: string) => readonly { readonly name: string; readonly endpointId: string }[];
}

/** The networks that users create: what they are asked to be, kept in a row each, and opened by their driver in each life of the daemon. */
export class Networks {
  readonly #deps: NetworksDeps;
  readonly #configs = new Map<string, NetworkConfig>();
  readonly #open = new Map<string, OpenNetwork>();
  /** Why a network could not be opened. */
  readonly #broken = new Map<string, unknown>();
  /** Names that are being created, each until it is there or was refused. */
  readonly #pending = new Map<string, Promise<void>>();

  constructor(deps: NetworksDeps) {
    this.#deps = deps;
  }

  /** Takes up the networks of the last daemon. One that can't be opened is there all the same, and says why when it is used. */
  async start(): Promise<void> {
    for (const row of this.#deps.table.userNetworks()) {
      const config = JSON.parse(row.config) as NetworkConfig;
      this.#configs.set(config.id, config);
      if (config.isConfigOnly) continue;
      try {
        const opened = this.#openNow(config);
        // only drivers that ask others take their time
        if (opened instanceof Promise) await opened;
      } catch (error) {
        this.#broken.set(config.id, error);
        this.#deps.log.error("network can't be opened", { network: config.name, error });
      }
    }
  }

  #openNow(config: NetworkConfig): void | Promise<void> {
    const finish = (driver: NetworkDriver | undefined): void | Promise<void> => {
      if (driver === undefined) throw noDriver(config.driver);
      const on = driver.open(config, { isNew: false });
      const put = (network: DriverNetwork): void => this.#put(config, network);
      return on instanceof Promise ? on.then(put) : put(on);
    };
    const driver = this.#deps.driver(config.driver);
    return driver instanceof Promise ? driver.then(finish) : finish(driver);
  }

  #put(config: NetworkConfig, network: DriverNetwork): void {
    const on = isIpamPlugin(config.ipamDriver) ? new IpamNetwork(network, this.#deps.grants, config) : network;
    this.#open.set(config.id, { config, on, busy: 0 });
  }

  list(): NetworkConfig[] {
    return [...this.#configs.values()];
  }

  /** All that are open. */
  opened(): OpenNetwork[] {
    return [...this.#open.values()];
  }

  config(id: string): NetworkConfig | undefined {
    return this.#configs.get(id);
  }

  /** The network of an id. @throws notFound; what its driver said when it could not be opened */
  open(id: string): OpenNetwork {
    const network = this.#open.get(id);
    if (network !== undefined) return network;
    const config = this.#configs.get(id);
    if (config === undefined) throw new DhowError("notFound", `network ${id} not found`);
    if (config.isConfigOnly) throw new DhowError("forbidden", "cannot create endpoint on configuration-only network");
    const cause = this.#broken.get(id);
    throw new DhowError("unavailable", `network ${config.name} could not be opened: ${cause instanceof Error ? cause.message : cause}`, {
      cause,
    });
  }

  /** Creates a network. @throws invalid, conflict, forbidden, notFound in docker's words */
  async create(asked: NetworkWish): Promise<NetworkConfig> {
    const { name } = asked;
    this.#checkName(name);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#pending.set(name, promise);
    try {
      const request = this.#configured(asked);
      const config = request.isConfigOnly ? this.#keep(request) : await this.#make(request);
      this.#configs.set(config.id, config);
      return config;
    } finally {
      this.#pending.delete(name);
      resolve();
    }
  }

  #checkName(name: string): void {
    if (name.trim() === "") throw new DhowError("invalid", `invalid name: ${name}`);
    if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
      throw new DhowError(
        "invalid",
        `${name} includes invalid characters for a network name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed`,
      );
    }
    if (this.#deps.predefined.includes(name) || name === "default") {
      throw new DhowError("forbidden", `operation is not permitted on predefined ${name} network `);
    }
    if (this.#pending.has(name) || this.list().some((config) => config.name === name)) {
      throw new DhowError("conflict", `network with name ${name} already exists`);
    }
  }

  /** A request with the configuration of the config-only network that it names. */
  #configured(request: NetworkWish): NetworkRequest {
    if (request.configFrom === "") {
      const { isConfigOnly, isInternal, isAttachable } = request;
      if (isConfigOnly && (isInternal || isAttachable)) {
        throw new DhowError(
          "forbidden",
          "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.",
        );
      }
      return withFamilies({ ...request, options: { ...this.#deps.defaultOptions[request.driver], ...request.options } });
    }
    if (request.isConfigOnly) throw new DhowError("forbidden", "a configuration network cannot depend on another configuration network");
    const hasOwn = request.pools.length > 0 || request.hasIpv6 || [request.options, request.labels].some((o) => Object.keys(o).length > 0);
    if (hasOwn)
      throw new DhowError("forbidden", "user specified configurations are not supported if the network depends on a configuration network");
    const from = this.list().find((config) => config.isConfigOnly && config.name === request.configFrom);
    if (from === undefined) throw new DhowError("notFound", `configuration network ${JSON.stringify(request.configFrom)} does not exist`);
    const { hasIpv4, hasIpv6, ipamDriver, ipamOptions, pools, options, labels } = from;
    return { ...request, hasIpv4, hasIpv6, ipamDriver, ipamOptions, pools, options, labels };
  }

  /** A configuration for networks to come. */
  #keep(request: NetworkRequest): NetworkConfig {
    const config = { ...asComplete(request), driver: "null", pools: givenPools(request.pools) };
    this.#deps.table.putUserNetwork({ id: config.id, name: config.name, config: JSON.stringify(config) });
    return config;
  }

  async #make(request: NetworkRequest): Promise<NetworkConfig> {
    checkPools(request.pools, request.hasIpv6);
    if (request.driver === "host" || request.driver === "null") {
      throw new DhowError("forbidden", `only one instance of ${JSON.stringify(request.driver)} network is allowed`);
    }
    const driver = await this.#deps.driver(request.driver);
    if (driver === undefined) throw noDriver(request.driver);
    const isWithout = !request.hasIpv4 && !request.hasIpv6;
    if (isWithout && (request.driver === BRIDGE_DRIVER || request.driver === "overlay")) {
      throw new DhowError("invalid", "IPv4 or IPv6 must be enabled");
    }
    if (request.ipamDriver === "null") checkWithoutAddresses(request);
    await driver.check(request);
    const draft: NetworkConfig = { ...asComplete(request), scope: driver.scope, pools: givenPools(request.pools) };
    if (isIpamPlugin(request.ipamDriver)) return this.#makeWithPlugin(draft, request, driver);
    const config: NetworkConfig =
      driver.complete === undefined ? { ...draft, pools: this.#choosePools(request, driver) } : await driver.complete(draft);
    await this.#openNew(config, driver);
    return config;
  }

  /** Makes a network of what an IPAM plug-in gives. */
  async #makeWithPlugin(draft: NetworkConfig, request: NetworkRequest, driver: NetworkDriver): Promise<NetworkConfig> {
    const { grants } = this.#deps;
    const given = { ...draft, pools: await allocatePools(grants, draft, request.pools) };
    let config: NetworkConfig = given;
    try {
      if (driver.complete !== undefined) config = await driver.complete(given);
      this.#checkBridgeOverlap(config);
      await this.#openNew(config, driver);
    } catch (error) {
      await grants.release(grants.of(draft.id));
      throw error;
    }
    return config;
  }

  /** Two bridges can't lead to the same subnet. @throws forbidden in docker's words */
  #checkBridgeOverlap({ id, driver, pools }: NetworkConfig): void {
    if (driver !== BRIDGE_DRIVER) return;
    for (const other of this.list()) {
      if (other.driver !== BRIDGE_DRIVER || other.isConfigOnly) continue;
      const both = pools.find(({ subnet }) => other.pools.some((theirs) => doOverlap(parsePrefix(theirs.subnet), parsePrefix(subnet))));
      if (both === undefined) continue;
      const named = (network: string): string => `${network} (br-${network.slice(0, 12)})`;
      const family = both.subnet.includes(":") ? 6 : 4;
      throw new DhowError(
        "forbidden",
        `cannot create network ${named(id)}: conflicts with network ${named(other.id)}: networks have overlapping IPv${family}`,
      );
    }
  }

  async #openNew(config: NetworkConfig, driver: NetworkDriver): Promise<void> {
    const on = await driver.open(config, { isNew: true });
    try {
      this.#deps.table.putUserNetwork({ id: config.id, name: config.name, config: JSON.stringify(config) });
    } catch (error) {
      await on.remove();
      throw error;
    }
    this.#put(config, on);
  }

  /**
   * Completes what is asked for: a subnet for each family that has none, or of whose subnet only the size is given, and the first address of
   * each as its gateway where one is of use.
   */
  #choosePools(request: NetworkRequest, driver: NetworkDriver): readonly IpamPool[] {
    const { pools, ipamDriver } = request;
    if (ipamDriver === "null") return [];
    const others = this.list().flatMap((config) => (config.isConfigOnly ? [] : config.pools.map(({ subnet }) => parsePrefix(subnet))));
    const chosen: IpamPool[] = [];
    for (const family of familiesOf(request)) {
      const own = pools.flatMap(({ subnet = "", ...pool }) =>
        subnet.includes(":") === (family === 6) && subnet ? { ...pool, subnet } : [],
      );
      for (const pool of own.length > 0 ? own : [{ subnet: ANY_SUBNET[family] }]) {
        const taken = [...others, ...chosen.map((c) => parsePrefix(c.subnet))];
        const subnet = this.#settleSubnet(parsePrefix(pool.subnet), taken);
        const settled = { ...pool, subnet: formatPrefix(subnet) };
        chosen.push(checkAuxAddresses(driver.needsNoGateway?.(request, family) && !settled.gateway ? settled : withGateway(settled)));
      }
    }
    return chosen;
  }

  /** The subnet that is asked for, or the first free one of its size. @throws forbidden, conflict, invalid in docker's words */
  #settleSubnet(asked: Prefix, taken: readonly Prefix[]): Prefix {
    if (asked.address === 0n) return chooseSubnet(poolsOfSize(this.#deps.pools, asked), [...taken, ...this.#deps.taken()], asked.family);
    if (taken.some((other) => doOverlap(other, asked))) {
      throw new DhowError("forbidden", "invalid pool request: Pool overlaps with other one on this address space");
    }
    return asked;
  }

  /** Removes a network. @throws forbidden in docker's words while it is used */
  async remove(id: string): Promise<NetworkConfig> {
    const config = this.#configs.get(id);
    if (config === undefined) throw new DhowError("notFound", `network ${id} not found`);
    const endpoints = this.#deps.endpoints(id);
    if (endpoints.length > 0) {
      const list = endpoints.map((e) => `name:${JSON.stringify(e.name)} id:${JSON.stringify(e.endpointId.slice(0, 12))}`).join(", ");
      throw new DhowError("forbidden", `error while removing network: network ${config.name} has active endpoints (${list})`);
    }
    const network = this.#open.get(id);
    if (network !== undefined && network.busy > 0) {
      throw new DhowError("forbidden", `error while removing network: network ${config.name} has active endpoints`);
    }
    if (config.isConfigOnly && this.list().some(({ configFrom }) => configFrom === config.name)) {
      throw new DhowError("forbidden", `error while removing network: configuration network ${JSON.stringify(config.name)} is in use`);
    }
    this.#open.delete(id);
    this.#configs.delete(id);
    try {
      // what is left of it after a kill here is taken away at the next start
      this.#deps.table.removeUserNetwork(id);
      await network?.on.remove();
    } catch (error) {
      this.#deps.table.putUserNetwork({ id, name: config.name, config: JSON.stringify(config) });
      this.#configs.set(id, config);
      if (network !== undefined) this.#open.set(id, network);
      throw error;
    }
    this.#broken.delete(id);
    await this.#retry(config.driver);
    return config;
  }

  /** What was in the way of a network may have gone with another one of its driver. */
  async #retry(driver: string): Promise<void> {
    for (const id of [...this.#broken.keys()]) {
      const config = this.#configs.get(id);
      if (config?.driver !== driver) continue;
      try {
        await this.#openNow(config);
        this.#broken.delete(id);
      } catch (error) {
        this.#broken.set(id, error);
      }
    }
  }

  /** Takes up a network that another host made. */
  async learn(config: NetworkConfig): Promise<void> {
    // it may be this host's own, or the one that this host's is refused for
    await this.#pending.get(config.name);
    if (this.#configs.has(config.id)) return;
    this.#deps.table.putUserNetwork({ id: config.id, name: config.name, config: JSON.stringify(config) });
    this.#configs.set(config.id, config);
    if (isIpamPlugin(config.ipamDriver)) this.#deps.grants.adopt(config);
    try {
      await this.#openNow(config);
    } catch (error) {
      this.#broken.set(config.id, error);
      throw error;
    }
  }

  /**
   * Leaves out a network that another host removed; `takeAway` is called for what this host has of it.
   * @throws conflict while containers of this host are on it
   */
  async forget(id: string, takeAway: () => void): Promise<void> {
    const config = this.#configs.get(id);
    if (config === undefined) return;
    if (isIpamPlugin(config.ipamDriver)) this.#deps.grants.forget(id);
    if (this.#deps.endpoints(id).length > 0 || (this.#open.get(id)?.busy ?? 0) > 0) {
      throw new DhowError("conflict", `another host removed network ${config.name}, which has active endpoints`);
    }
    this.#deps.table.removeUserNetwork(id);
    for (const map of [this.#configs, this.#open, this.#broken]) map.delete(id);
    takeAway();
    await this.#retry(config.driver);
  }

  close(): void {
    for (const { on } of this.#open.values()) on.close();
  }
}

function noDriver(name: string): DhowError {
  return new DhowError("notFound", `plugin ${JSON.stringify(name)} not found`);
}
