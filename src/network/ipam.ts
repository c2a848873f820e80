import { DhowError } from "../lib/mod.ts";
import { type Cidr, cidr, formatCidr, lastAddress, overlaps, parseCidr } from "./ipv4.ts";

/** A supply of networks: `base` cut into networks of prefix length `size`. Docker's `default-address-pools`. */
export interface PoolSpec {
  readonly base: string;
  readonly size: number;
}

/** Docker's own supply: 172.17 to 172.31, then 192.168. */
export const DEFAULT_POOLS: readonly PoolSpec[] = [
  { base: "172.17.0.0/16", size: 16 },
  { base: "172.18.0.0/15", size: 16 },
  { base: "172.20.0.0/14", size: 16 },
  { base: "172.24.0.0/14", size: 16 },
  { base: "172.28.0.0/14", size: 16 },
  { base: "192.168.0.0/16", size: 20 },
];

function* networksOf(pools: readonly PoolSpec[]): Generator<Cidr> {
  for (const pool of pools) {
    const base = parseCidr(pool.base);
    const count = 2 ** Math.max(0, pool.size - base.prefixLength);
    for (let i = 0; i < count; i++) yield cidr((base.network + i * 2 ** (32 - pool.size)) >>> 0, pool.size);
  }
}

/** The first network of `pools` that overlaps none of `taken`. @throws conflict naming the setting */
export function chooseSubnet(pools: readonly PoolSpec[], taken: readonly Cidr[]): Cidr {
  for (const candidate of networksOf(pools)) if (!taken.some((t) => overlaps(t, candidate))) return candidate;
  throw new DhowError(
    "conflict",
    'all predefined address pools have been fully subnetted: every network of "default-address-pools" overlaps a route of this host; add one there or set "bip"',
  );
}

/**
 * The addresses of one subnet, given out in order and, after the last, from the start again:
 * so an address rests for as long as possible before somebody else gets it.
 */
export class AddressPool {
  readonly #used = new Set<number>();
  readonly #first: number;
  readonly #last: number;
  readonly #range: Cidr;
  readonly #reclaim: () => boolean;
  #next: number;

  /**
   * `range` narrows what is given out (docker's `fixed-cidr`); `reserved` is never given out.
   * `reclaim` is asked, when none is left, to free what is only waiting to be freed; whether it did.
   */
  constructor(subnet: Cidr, range: Cidr, reserved: readonly number[], reclaim: () => boolean = () => false) {
    this.#reclaim = reclaim;
    const isWhole = (edge: number, of: number): boolean => edge === of && subnet.prefixLength < 31;
    this.#first = range.network + (isWhole(range.network, subnet.network) ? 1 : 0);
    this.#last = lastAddress(range) - (isWhole(lastAddress(range), lastAddress(subnet)) ? 1 : 0);
    this.#range = range;
    this.#next = this.#first;
    for (const address of reserved) this.#used.add(address);
  }

  /** Number of addresses in use, the reserved ones included. */
  get usedCount(): number {
    return this.#used.size;
  }

  /** The addresses in use, the reserved ones included. */
  used(): number[] {
    return [...this.#used];
  }

  /** Number of addresses that can be given out. */
  get capacity(): number {
    return this.#last - this.#first + 1;
  }

  /** Takes the next free address. @throws conflict when none is left, naming the setting */
  take(): number {
    for (let tries = this.capacity; tries > 0; tries--) {
      const address = this.#next;
      this.#next = address >= this.#last ? this.#first : address + 1;
      if (this.#used.has(address)) continue;
      this.#used.add(address);
      return address;
    }
    if (this.#reclaim()) return this.take();
    throw new DhowError(
      "conflict",
      `no available IPv4 addresses on this network's address pools: ${formatCidr(this.#range)} is used up; set a larger "bip" or "fixed-cidr"`,
    );
  }

  /** Marks an address as in use, and goes on after it. */
  mark(address: number): void {
    this.#used.add(address);
    if (address >= this.#next && address <= this.#last) this.#next = address >= this.#last ? this.#first : address + 1;
  }

  /** Gives an address back. */
  free(address: number): void {
    this.#used.delete(address);
  }
}
