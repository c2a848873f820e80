import { createHash } from "node:crypto";
import { DhowError } from "../lib/mod.ts";
import { bitsOf, doOverlap, type Family, lastOf, type Prefix, parsePrefix, prefixOf } from "./ip.ts";

/** A supply of networks: `base` cut into networks of prefix length `size`. Docker's `default-address-pools`. */
export interface PoolSpec {
  readonly base: string;
  readonly size: number;
}

/** Where the default bridge's network comes from: docker's own supply, 172.17 to 172.31, then 192.168. */
export const DEFAULT_BRIDGE_POOLS: readonly PoolSpec[] = [
  { base: "172.17.0.0/16", size: 16 },
  { base: "172.18.0.0/15", size: 16 },
  { base: "172.20.0.0/14", size: 16 },
  { base: "172.24.0.0/14", size: 16 },
  { base: "172.28.0.0/14", size: 16 },
  { base: "192.168.0.0/16", size: 20 },
];

/**
 * Where the networks of users come from: docker's supply in pieces of 1,022 addresses, as many as a bridge can have ports. That is room
 * for 960 networks, and 64 more when the default bridge is elsewhere; docker has 31.
 */
export const DEFAULT_POOLS: readonly PoolSpec[] = [
  { base: "172.18.0.0/15", size: 22 },
  { base: "172.20.0.0/14", size: 22 },
  { base: "172.24.0.0/14", size: 22 },
  { base: "172.28.0.0/14", size: 22 },
  { base: "192.168.0.0/16", size: 22 },
  { base: "172.17.0.0/16", size: 22 },
  { base: "172.16.0.0/16", size: 22 },
];

/** A request for a subnet of any size. */
export const ANY_SUBNET = { 4: "0.0.0.0/0", 6: "::/0" } as const;

/**
 * A supply cut into networks of the size that `asked`, an unspecified address with a prefix length, has; length 0: as it is.
 * @throws invalid in docker's words when none of it is as large
 */
export function poolsOfSize(pools: readonly PoolSpec[], { family, length }: Prefix): readonly PoolSpec[] {
  if (length === 0) return pools;
  const large = pools.filter(({ base }) => {
    const prefix = parsePrefix(base);
    return prefix.family === family && prefix.length <= length;
  });
  if (large.length === 0) throw new DhowError("invalid", "invalid address pool");
  return large.map(({ base }) => ({ base, size: length }));
}

/** The first network of a supply that overlaps none of `taken`. */
function findIn({ base: text, size }: PoolSpec, taken: readonly Prefix[]): Prefix | undefined {
  const base = parsePrefix(text);
  const { family } = base;
  const step = 1n << BigInt(bitsOf(family) - size);
  const end = lastOf(base);
  const near = taken.filter((t) => doOverlap(t, base)).sort((a, b) => (a.network < b.network ? -1 : 1));
  let candidate = base.network;
  for (const other of near) {
    if (other.network >= candidate + step) break;
    const after = lastOf(other) + 1n;
    // the next network that begins behind it
    if (after > candidate) candidate = base.network + ((after - base.network + step - 1n) / step) * step;
  }
  return candidate + step - 1n <= end ? prefixOf({ family, value: candidate }, size) : undefined;
}

/** The first network of `pools` of a family that overlaps none of `taken`; undefined when there is none. */
export function findSubnet(pools: readonly PoolSpec[], family: Family, taken: readonly Prefix[]): Prefix | undefined {
  for (const pool of pools) {
    if (pool.base.includes(":") !== (family === 6)) continue;
    const found = findIn(pool, taken);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The first free network of `pools`. @throws conflict naming the setting */
export function chooseSubnet(pools: readonly PoolSpec[], taken: readonly Prefix[], family: Family = 4): Prefix {
  const found = findSubnet(pools, family, taken);
  if (found !== undefined) return found;
  throw new DhowError(
    "conflict",
    `all predefined address pools have been fully subnetted: every IPv${family} network of "default-address-pools" is in use or overlaps a route of this host; add one there (--default-address-pool base=CIDR,size=N) or give the network a --subnet`,
  );
}

/** A unique local IPv6 prefix that follows from a text, cut into networks. @see RFC 4193 */
export function uniqueLocalPool(seed: string): PoolSpec {
  const id = createHash("sha256").update(seed).digest();
  const words = [0xfd00 | (id[0] ?? 0), id.readUInt16BE(1), id.readUInt16BE(3)].map((word) => word.toString(16));
  return { base: `${words.join(":")}::/48`, size: 64 };
}
