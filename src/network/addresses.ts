import { DhowError } from "../lib/mod.ts";
import { AddressPool, edgesOf } from "./address-pool.ts";
import { type Family, formatIp, formatPrefix, hasIp, type Ip, type Prefix, parseIp, parsePrefix } from "./ip.ts";
import type { IpamPool } from "./network-config.ts";

export type MaybePromise<T> = T | Promise<T>;

/** An address of a network that is somebody's now. */
export interface TakenAddress {
  readonly ip: Ip;
  /** Of the subnet that it is of. */
  readonly prefixLength: number;
}

/** How a subnet is used, for `docker network inspect`. */
export interface SubnetUse {
  readonly subnet: string;
  /** Addresses in use or reserved, the network's own edges included. */
  readonly used: number;
  /** Addresses that can be given out: of a /64, more than a number tells apart. */
  readonly free: bigint;
}

/** The addresses of one network, given out one by one. Each implementation passes `addresses-suite.ts`. */
export interface AddressSource {
  /**
   * Takes an address of a family, the one that is asked for or any, for an interface with the MAC address `mac`, if that is known.
   * @throws conflict, forbidden, invalid in docker's words
   */
  take(family: Family, wanted?: string, mac?: Uint8Array): MaybePromise<TakenAddress>;
  /** The MAC address of an interface that has none yet, where it has to be known first. */
  chooseMac?(): MaybePromise<Uint8Array | undefined>;
  /** Marks one as in use that a container has from a former life of the daemon. */
  mark(ip: Ip): MaybePromise<void>;
  /** Gives one back. */
  free(ip: Ip): MaybePromise<void>;
  /** `resting`: addresses that nobody has any more, or yet, though they are taken. */
  uses(resting?: readonly Ip[]): readonly SubnetUse[];
}

export interface LocalAddressesOptions {
  /** Asked, when a subnet is used up, to free what only waits to be freed; whether it did. */
  readonly reclaim?: (() => boolean) | undefined;
  /** For errors. */
  readonly network?: { readonly name: string; readonly id: string } | undefined;
  /** What to do when all are in use. */
  readonly remedy?: string | undefined;
}

/** The addresses of a network of this host alone: counted in memory, known again after a restart from the endpoints' rows. */
export class LocalAddresses implements AddressSource {
  readonly #pools: readonly AddressPool[];

  constructor(pools: readonly IpamPool[], options: LocalAddressesOptions = {}) {
    this.#pools = pools.map((pool) => {
      const own = [pool.gateway, ...Object.values(pool.auxAddresses ?? {})];
      return new AddressPool({
        subnet: parsePrefix(pool.subnet),
        range: pool.ipRange ? parsePrefix(pool.ipRange) : undefined,
        reserved: own.flatMap((text) => (text ? parseIp(text) : [])),
        reclaim: options.reclaim,
        network: options.network && `${options.network.name} (${options.network.id})`,
        remedy: options.remedy ?? "create the network with a larger --subnet or --ip-range",
      });
    });
  }

  take(family: Family, wanted?: string): TakenAddress {
    const pools = this.#pools.filter(({ subnet }) => subnet.family === family);
    if (wanted) return takeWanted(pools, parseIp(wanted));
    let failure: unknown;
    for (const pool of pools) {
      try {
        return { ip: pool.take(), prefixLength: pool.subnet.length };
      } catch (error) {
        failure = error;
      }
    }
    throw failure ?? new DhowError("invalid", `take an address: the network has no IPv${family} subnet`);
  }

  mark(ip: Ip): void {
    this.#of(ip)?.mark(ip);
  }

  free(ip: Ip): void {
    this.#of(ip)?.free(ip);
  }

  /** All addresses in use, the reserved ones included. */
  used(): Ip[] {
    return this.#pools.flatMap((pool) => pool.used());
  }

  /** Number of addresses that can be given out in all. */
  get capacity(): number {
    return Number(this.#pools.reduce((sum, pool) => sum + pool.capacity, 0n));
  }

  uses(resting: readonly Ip[] = []): readonly SubnetUse[] {
    return this.#pools.map((pool) => {
      const { used, ofRange } = pool.count(resting);
      const edges = edgesOf(pool.subnet).length;
      return { subnet: formatPrefix(pool.subnet), used: used + edges, free: pool.capacity - BigInt(ofRange) };
    });
  }

  #of(ip: Ip): AddressPool | undefined {
    return this.#pools.find(({ subnet }) => hasIp(subnet, ip));
  }
}

function takeWanted(pools: readonly AddressPool[], ip: Ip): TakenAddress {
  const pool = pools.find(({ subnet }) => hasIp(subnet, ip));
  if (pool === undefined) throw new DhowError("invalid", `no configured subnet contains IP address ${formatIp(ip)}`);
  pool.takeThis(ip);
  return { ip, prefixLength: pool.subnet.length };
}

/** The first address of a pool that can be a gateway's: docker's choice when none is given. */
export function firstAddress(pool: { readonly subnet: Prefix; readonly range?: Prefix | undefined; readonly reserved: readonly Ip[] }): Ip {
  return new AddressPool({ ...pool, remedy: "give the network a larger --subnet" }).take();
}
