import { DhowError, randomId } from "../../lib/mod.ts";
import { type AddressSource, LocalAddresses, type SubnetUse, type TakenAddress } from "../addresses.ts";
import { type Family, formatIp, type Ip, tryParseIp } from "../ip.ts";
import type { NetworkConfig } from "../network-config.ts";
import type { Cluster } from "./cluster.ts";

/** Addresses of one network that several hosts give out: an address is somebody's once etcd has it under that host's lease. */
export class ClusterAddresses implements AddressSource, Disposable {
  readonly #cluster: Cluster;
  readonly #config: NetworkConfig;
  readonly #prefix: string;
  /** What is taken as far as this host knows: where it looks first. */
  readonly #local: LocalAddresses;
  readonly #listening: Disposable;

  constructor(cluster: Cluster, config: NetworkConfig, reclaim: () => boolean) {
    this.#cluster = cluster;
    this.#config = config;
    this.#prefix = `addresses/${config.id}/`;
    this.#local = new LocalAddresses(config.pools, { reclaim, network: config });
    for (const [key] of cluster.entries(this.#prefix)) this.#follow(key, "");
    this.#listening = cluster.listen((key, value) => this.#follow(key, value));
  }

  #follow(key: string, value: string | undefined): void {
    if (!key.startsWith(this.#prefix)) return;
    const ip = tryParseIp(key.slice(this.#prefix.length));
    if (ip === undefined) return;
    if (value !== undefined) this.#local.mark(ip);
    else if (this.#cluster.heldValue(key) === undefined) this.#local.free(ip);
  }

  #key(ip: Ip): string {
    return this.#prefix + formatIp(ip);
  }

  /** Another one each time: an address that is given back and taken again at once is not given back a second time. */
  #value(): string {
    return JSON.stringify({ host: this.#cluster.hostId, claim: randomId() });
  }

  async take(family: Family, wanted?: string): Promise<TakenAddress> {
    for (;;) {
      // what others took meanwhile stays marked, so that this ends
      const taken = await this.#takeLocal(family, wanted);
      let isClaimed = false;
      try {
        isClaimed = await this.#cluster.claim(this.#key(taken.ip), this.#value(), this.#config.id);
        if (isClaimed) return taken;
      } catch (error) {
        this.#local.free(taken.ip);
        const text = `take an address of overlay network ${this.#config.name}: ${error instanceof Error ? error.message : error}`;
        throw new DhowError("unavailable", text, { cause: error });
      }
      if ((await this.#cluster.read(`networks/${this.#config.id}`)) === undefined) {
        throw new DhowError("notFound", `network ${this.#config.name} not found: another host removed it`);
      }
      if (wanted) throw new DhowError("forbidden", "Address already in use");
    }
  }

  /** What this host knows to be free; what another one gave back a moment ago counts. */
  async #takeLocal(family: Family, wanted: string | undefined): Promise<TakenAddress> {
    try {
      return this.#local.take(family, wanted);
    } catch {
      await this.#cluster.catchUp();
      return this.#local.take(family, wanted);
    }
  }

  mark(ip: Ip): void {
    this.#local.mark(ip);
    this.#cluster.hold(this.#key(ip), this.#value());
  }

  async free(ip: Ip): Promise<void> {
    this.#local.free(ip);
    await this.#cluster.release(this.#key(ip));
  }

  uses(resting: readonly Ip[] = []): readonly SubnetUse[] {
    return this.#local.uses(resting);
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }
}
