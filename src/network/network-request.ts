import { DhowError, parseGoBool, randomId } from "../lib/mod.ts";
import { edgesOf } from "./address-pool.ts";
import { firstAddress } from "./addresses.ts";
import { formatIp, parseIp, parsePrefix } from "./ip.ts";
import {
  BRIDGE_DRIVER,
  type IpamPool,
  type NetworkConfig,
  type NetworkRequest,
  type NetworkWish,
  type PoolRequest,
} from "./network-config.ts";

/** A network of a request, without subnets yet. */
export function asComplete(request: NetworkRequest): NetworkConfig {
  const createdAt = new Date().toISOString().replace("Z", "000000Z");
  return { ...request, id: randomId(), createdAt, scope: "local", pools: [] };
}

/** The drivers whose containers have addresses of every family that their network has. */
const NEEDS_ADDRESSES: ReadonlySet<string> = new Set([BRIDGE_DRIVER, "macvlan", "ipvlan", "overlay"]);

/**
 * Which families a network has: what the request says, else its option, else IPv4 alone. @throws invalid in docker's words
 * @see daemon/network.go of moby v29
 */
export function withFamilies(request: NetworkWish): NetworkRequest {
  const options = { ...request.options };
  const has = (family: 4 | 6, asked: boolean | undefined): boolean => {
    const key = `com.docker.network.enable_ipv${family}`;
    const text = options[key];
    if (asked !== undefined) delete options[key];
    if (asked !== undefined || text === undefined) return asked ?? family === 4;
    const value = parseGoBool(text);
    if (value === undefined) throw new DhowError("invalid", `driver-opt ${JSON.stringify(key)} is not a valid bool`);
    return value;
  };
  return { ...request, hasIpv4: has(4, request.hasIpv4), hasIpv6: has(6, request.hasIpv6), options };
}

/** Of a network without IPAM. @throws invalid in docker's words where addresses are needed, or given */
export function checkWithoutAddresses({ driver, hasIpv4, hasIpv6, pools }: NetworkRequest): void {
  if (pools.some(({ subnet }) => subnet)) throw new DhowError("invalid", "null ipam driver does not handle specific address pool requests");
  const family = hasIpv4 ? 4 : hasIpv6 ? 6 : undefined;
  if (NEEDS_ADDRESSES.has(driver) && family !== undefined) throw new DhowError("invalid", `ipv${family} pool is empty`);
}

/** The pools that are asked for by their subnets. */
export function givenPools(pools: readonly PoolRequest[]): IpamPool[] {
  return pools.flatMap((pool) => (pool.subnet ? { ...pool, subnet: pool.subnet } : []));
}

/** @throws internal in docker's words when the gateway that is asked for is no host's address */
export function withGateway(pool: PoolRequest & { readonly subnet: string }): IpamPool {
  if (pool.gateway) {
    const edges = edgesOf(parsePrefix(pool.subnet));
    if (!edges.includes(parseIp(pool.gateway).value)) return pool;
    throw new DhowError("internal", `failed to allocate gateway (${pool.gateway}): Address already in use`);
  }
  const gateway = firstAddress({
    subnet: parsePrefix(pool.subnet),
    range: pool.ipRange ? parsePrefix(pool.ipRange) : undefined,
    reserved: Object.values(pool.auxAddresses ?? {}).map(parseIp),
  });
  return { ...pool, gateway: formatIp(gateway) };
}

/** @throws internal in docker's words when one is the gateway's, another's, or no host's */
export function checkAuxAddresses(pool: IpamPool): IpamPool {
  const taken = new Set(edgesOf(parsePrefix(pool.subnet)));
  if (pool.gateway !== undefined) taken.add(parseIp(pool.gateway).value);
  for (const [name, text] of Object.entries(pool.auxAddresses ?? {})) {
    const address = parseIp(text).value;
    if (taken.has(address)) {
      throw new DhowError("internal", `failed to allocate secondary ip address (${name}:${text}): Address already in use`);
    }
    taken.add(address);
  }
  return pool;
}
