import { DhowError } from "../lib/mod.ts";
import { bitsOf, formatIp, formatPrefix, hasIp, type Ip, lastOf, type Prefix } from "./ip.ts";

export interface AddressPoolOptions {
  readonly subnet: Prefix;
  /** The part of the subnet that is given out without being asked for (docker's `--ip-range`, `fixed-cidr`); default all of it. */
  readonly range?: Prefix | undefined;
  /** Never given out: the gateway, what the network's creator named as in use elsewhere. */
  readonly reserved?: readonly Ip[] | undefined;
  /** Asked, when no address is left, to free what only waits to be freed; whether it did. */
  readonly reclaim?: (() => boolean) | undefined;
  /** The network's name and id, for errors. */
  readonly network?: string | undefined;
  /** What to do when all are in use. */
  readonly remedy: string;
}

/**
 * The addresses of one subnet, given out in order and, after the last, from the start again:
 * so an address rests for as long as possible before somebody else gets it.
 */
export class AddressPool {
  readonly subnet: Prefix;
  readonly #o: AddressPoolOptions;
  readonly #range: Prefix;
  readonly #used = new Set<bigint>();
  /** The network's own address and, in IPv4, the one of all: no host's. */
  readonly #edges: readonly bigint[];
  readonly #first: bigint;
  readonly #last: bigint;
  #next: bigint;

  constructor(options: AddressPoolOptions) {
    const { subnet } = options;
    this.#o = options;
    this.subnet = subnet;
    this.#range = options.range ?? subnet;
    const [start, end] = [this.#range.network, lastOf(this.#range)];
    this.#edges = edgesOf(subnet);
    this.#first = this.#edges.includes(start) ? start + 1n : start;
    this.#last = this.#edges.includes(end) && end > start ? end - 1n : end;
    this.#next = this.#first;
    for (const { value } of options.reserved ?? []) this.#used.add(value);
  }

  /** The addresses in use, the reserved ones included. */
  used(): Ip[] {
    return [...this.#used].map((value) => ({ family: this.subnet.family, value }));
  }

  /** Number of addresses of the range. */
  get capacity(): bigint {
    return this.#last - this.#first + 1n;
  }

  /** How many addresses of the subnet are in use or reserved, and how many of its range; those that are `resting` count as free. */
  count(resting: readonly Ip[]): { readonly used: number; readonly ofRange: number } {
    const isOfRange = (value: bigint): boolean => value >= this.#first && value <= this.#last;
    const free = new Set(resting.flatMap(({ value, family }) => (family === this.subnet.family ? value : [])));
    const used = [...this.#used].filter((value) => !free.has(value));
    return { used: used.length, ofRange: used.filter(isOfRange).length };
  }

  /** Takes the next free address. @throws conflict when none is left, naming the setting */
  take(): Ip {
    const { capacity } = this;
    const tries = BigInt(this.#used.size) + 1n < capacity ? BigInt(this.#used.size) + 1n : capacity;
    for (let i = 0n; i < tries; i++) {
      const value = this.#next;
      this.#next = value >= this.#last ? this.#first : value + 1n;
      if (this.#used.has(value)) continue;
      this.#used.add(value);
      return { family: this.subnet.family, value };
    }
    if (this.#o.reclaim?.()) return this.take();
    const { network, remedy } = this.#o;
    throw new DhowError(
      "conflict",
      `no available IPv${this.subnet.family} addresses on this network's address pools: ${network === undefined ? "" : `${network}: `}${formatPrefix(this.#range)} is used up; ${remedy}`,
    );
  }

  /** Takes one address that is asked for. @throws conflict in docker's words; invalid outside of the subnet */
  takeThis(ip: Ip): void {
    if (!hasIp(this.subnet, ip)) throw new DhowError("invalid", `no configured subnet contains IP address ${formatIp(ip)}`);
    const isFree = (): boolean => !this.#used.has(ip.value) && !this.#edges.includes(ip.value);
    if (!isFree() && this.#o.reclaim?.() !== true) throw inUse();
    if (!isFree()) throw inUse();
    this.#used.add(ip.value);
  }

  /** Marks an address as in use, and goes on after it. */
  mark({ value }: Ip): void {
    this.#used.add(value);
    if (value >= this.#next && value <= this.#last) this.#next = value >= this.#last ? this.#first : value + 1n;
  }

  /** Gives an address back. */
  free({ value }: Ip): void {
    this.#used.delete(value);
  }
}

/** The addresses of a network that are no host's; of two addresses, as on a point-to-point link, both are. @see RFC 3021, RFC 4291 section 2.6.1 */
export function edgesOf(subnet: Prefix): readonly bigint[] {
  if (bitsOf(subnet.family) - subnet.length <= 1) return [];
  return subnet.family === 4 ? [subnet.network, lastOf(subnet)] : [subnet.network];
}

function inUse(): DhowError {
  return new DhowError("forbidden", "Address already in use");
}
