import { randomBytes } from "node:crypto";
import { DhowError } from "../lib/mod.ts";
import { type Fd, formatMac } from "../linux/mod.ts";
import type { AddressSource, SubnetUse, TakenAddress } from "./addresses.ts";
import type { DriverNetwork, NamedEndpoint, Plugged, PluggedEndpoint, PlugRequest, RemoteEndpoint, Removal } from "./drivers/driver.ts";
import { type Family, formatIp, hasIp, type Ip, parseIp, parsePrefix } from "./ip.ts";
import type { IpamGrants } from "./ipam-grants.ts";
import { familiesOf, type IpamPool, type NetworkConfig, type PoolRequest } from "./network-config.ts";

/** Whether a network's subnets and addresses are a plug-in's affair. `null`: it has none. */
export function isIpamPlugin(ipamDriver: string): boolean {
  return ipamDriver !== "default" && ipamDriver !== "null";
}

/**
 * Has an IPAM plug-in give the pools of a network to be, their gateways and auxiliary addresses. Nothing is held when it fails.
 * @throws what the plug-in says, in docker's words
 */
export async function allocatePools(grants: IpamGrants, draft: NetworkConfig, asked: readonly PoolRequest[]): Promise<IpamPool[]> {
  const { id, ipamDriver, scope } = draft;
  const options = draft.ipamOptions ?? {};
  const pools: IpamPool[] = [];
  try {
    const addressSpace = await grants.addressSpace(ipamDriver, scope);
    for (const family of familiesOf(draft)) {
      const own = asked.filter(({ subnet = "" }) => subnet !== "" && subnet.includes(":") === (family === 6));
      for (const pool of own.length > 0 ? own : [{}]) {
        const { subnet = "", ipRange = "" }: PoolRequest = pool;
        const isShared = scope === "global";
        const given = await grants.requestPool(ipamDriver, id, { addressSpace, subnet, ipRange, options, family, isShared });
        pools.push({ ...(await fill(grants, id, pool, given)), addressSpace, ...(isShared && { poolId: given.poolId }) });
      }
    }
    return pools;
  } catch (error) {
    await grants.release(grants.of(id));
    throw error;
  }
}

/** The gateway is the one that is asked for, else what the plug-in named with the pool, else one that it gives. */
async function fill(
  grants: IpamGrants,
  networkId: string,
  { ipRange, gateway: wanted = "", auxAddresses }: PoolRequest,
  { subnet, gateway: named }: { readonly subnet: string; readonly gateway: string | undefined },
): Promise<IpamPool> {
  const pool = { networkId, subnet };
  const isNamed = named !== undefined && (wanted === "" || formatIp(parseIp(wanted)) === named);
  const gateway = isNamed ? named : await explained(`gateway (${wanted})`, () => grants.requestAddress(pool, { wanted, isGateway: true }));
  for (const [name, address] of Object.entries(auxAddresses ?? {})) {
    if (!hasIp(parsePrefix(subnet), parseIp(address))) {
      throw new DhowError("forbidden", `auxiliary address: (${name}:${address}) must belong to the master pool: ${subnet}`);
    }
    await explained(`secondary ip address (${name}:${address})`, () => grants.requestAddress(pool, { wanted: address }));
  }
  return { subnet, ...(ipRange && { ipRange }), gateway, ...(auxAddresses && { auxAddresses }) };
}

async function explained(what: string, work: () => Promise<{ readonly address: string }>): Promise<string> {
  try {
    return (await work()).address;
  } catch (cause) {
    if (!(cause instanceof DhowError)) throw cause;
    const { message, details } = cause;
    throw new DhowError("internal", `failed to allocate ${what}: ${message}`, { cause, details });
  }
}

/** Addresses of one network that an IPAM plug-in gives out. */
class PluginAddresses implements AddressSource {
  readonly #grants: IpamGrants;
  readonly #config: NetworkConfig;

  constructor(grants: IpamGrants, config: NetworkConfig) {
    this.#grants = grants;
    this.#config = config;
  }

  /** A random one of docker's kind, for plug-ins that want to know it before they give an address. */
  async chooseMac(): Promise<Uint8Array | undefined> {
    return (await this.#grants.needsMac(this.#config.ipamDriver)) ? Uint8Array.from([2, 0x42, ...randomBytes(4)]) : undefined;
  }

  async take(family: Family, wanted = "", mac?: Uint8Array): Promise<TakenAddress> {
    const { id: networkId, name, pools } = this.#config;
    const subnet = pools
      .map((pool) => pool.subnet)
      .find((text) => text.includes(":") === (family === 6) && (wanted === "" || hasIp(parsePrefix(text), parseIp(wanted))));
    if (subnet === undefined) {
      if (wanted !== "") throw new DhowError("invalid", `no configured subnet contains IP address ${wanted}`);
      throw new DhowError("invalid", `no available IPv${family} addresses on this network's address pools: ${name} (${networkId})`);
    }
    const isMacWanted = mac !== undefined && (await this.#grants.needsMac(this.#config.ipamDriver));
    const request = { wanted, ...(isMacWanted && { mac: formatMac(mac) }) };
    const { address, prefixLength } = await this.#grants.requestAddress({ networkId, subnet }, request);
    return { ip: parseIp(address), prefixLength };
  }

  /** What is in use is known from the rows. */
  mark(): void {}

  async free(ip: Ip): Promise<void> {
    const address = formatIp(ip);
    const pool = this.#grants.poolOf(this.#config.id, address);
    if (pool !== undefined) await this.#grants.releaseAddress(pool, address);
  }

  /** The plug-in's own affair. */
  uses(): readonly SubnetUse[] {
    return [];
  }
}

/** A network of any driver whose addresses an IPAM plug-in gives out; what the driver keeps of them is not asked. */
export class IpamNetwork implements DriverNetwork {
  readonly addresses: AddressSource;
  readonly #on: DriverNetwork;
  readonly #grants: IpamGrants;
  readonly #networkId: string;

  constructor(on: DriverNetwork, grants: IpamGrants, config: NetworkConfig) {
    this.#on = on;
    this.#grants = grants;
    this.#networkId = config.id;
    this.addresses = new PluginAddresses(grants, config);
  }

  get publishesPorts(): boolean {
    return this.#on.publishesPorts;
  }

  get hasReachablePorts(): boolean {
    return this.#on.hasReachablePorts ?? false;
  }

  get bridge(): string | undefined {
    return this.#on.bridge;
  }

  get links(): readonly string[] | undefined {
    return this.#on.links;
  }

  get isPoliced(): boolean {
    return this.#on.isPoliced ?? false;
  }

  get needsOutside(): boolean | undefined {
    return this.#on.needsOutside;
  }

  gateway(family: Family): string | undefined {
    return this.#on.gateway(family);
  }

  plug(request: PlugRequest): Plugged | Promise<Plugged> {
    return this.#on.plug(request);
  }

  async unplug(endpoint: PluggedEndpoint, options: { readonly isSandboxGone: boolean; readonly netns: Fd | undefined }): Promise<void> {
    try {
      await this.#on.unplug(endpoint, options);
    } finally {
      for (const a of [endpoint.addresses[4], endpoint.addresses[6]]) if (a !== undefined) await this.addresses.free(parseIp(a.address));
    }
  }

  adopt(endpoint: NamedEndpoint): void | Promise<void> {
    return this.#on.adopt?.(endpoint);
  }

  rename(endpoint: NamedEndpoint): void {
    this.#on.rename?.(endpoint);
  }

  remoteEndpoints(): readonly RemoteEndpoint[] {
    return this.#on.remoteEndpoints?.() ?? [];
  }

  close(): void {
    this.#on.close();
  }

  async remove(): Promise<Removal> {
    const removal = await this.#on.remove();
    if (removal === "gone") this.#grants.forget(this.#networkId);
    else await this.#grants.release(this.#grants.of(this.#networkId));
    return removal;
  }
}
