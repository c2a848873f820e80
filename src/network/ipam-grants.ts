import { DhowError, errorMessage, type Logger } from "../lib/mod.ts";
import type { IpamGrantRow, IpamGrantsTable } from "../metadata/mod.ts";
import type { Plugin } from "../plugins/mod.ts";
import type { InterfaceAddress } from "./drivers/driver.ts";
import { parsePrefix } from "./ip.ts";
import {
  type IpamAddressRequest,
  type IpamCapabilities,
  IpamPlugin,
  type IpamPoolRequest,
  isAnswered,
  type PluginPool,
} from "./ipam-plugin.ts";
import type { NetworkConfig } from "./network-config.ts";

export interface IpamGrantsDeps {
  readonly table: IpamGrantsTable;
  readonly log: Logger;
  /** The IPAM plug-in of a name. @throws notFound in docker's words */
  readonly plugin: (driver: string) => Promise<Plugin>;
}

/** Something that goes back: it is nobody's, and its row stays until the plug-in knows. */
interface Leaving {
  readonly grant: IpamGrantRow;
  /** Whether the plug-in is being told right now. */
  isBeingTold: boolean;
}

/** What is known of one plug-in in this life of the daemon. */
interface DriverState {
  /** Requests that it has not answered yet. */
  asked: number;
  /** What it wants to hear at a start of the daemon, being told or told. */
  replay: Promise<void> | undefined;
  /** What is owed to it from before, being given back. */
  settling: Promise<void> | undefined;
  capabilities: IpamCapabilities | undefined;
}

const ADDRESS_IN_USE = "Address already in use";

type PoolKey = Pick<IpamGrantRow, "networkId" | "subnet">;

/**
 * The pools and addresses that IPAM plug-ins gave: each is written down with the answer, before anything is made of it, and its row goes when
 * the plug-in knows that it is free again. What a kill or an absent plug-in leaves is given back later.
 */
export class IpamGrants {
  readonly #deps: IpamGrantsDeps;
  readonly #held = new Map<string, IpamGrantRow>();
  readonly #leaving = new Map<string, Leaving>();
  readonly #drivers = new Map<string, DriverState>();
  /** Of networks that only other hosts may know. */
  readonly #postponed = new Set<string>();

  constructor(deps: IpamGrantsDeps) {
    this.#deps = deps;
    for (const grant of deps.table.all()) this.#held.set(keyOf(grant), grant);
  }

  /** Whether the plug-in wants to know the MAC address of who takes an address. */
  async needsMac(driver: string): Promise<boolean> {
    return (await this.#capabilities(driver)).needsMac;
  }

  async addressSpace(driver: string, scope: "local" | "global"): Promise<string> {
    const plugin = await this.#plugin(driver);
    try {
      return await plugin.addressSpace(scope);
    } catch (cause) {
      if (!(cause instanceof DhowError)) throw cause;
      throw new DhowError(cause.kind, `failed to get default address space: ${cause.message}`, { cause });
    }
  }

  /** Has a plug-in give a pool for a network. @throws what it says; forbidden when the network has that one */
  requestPool(driver: string, networkId: string, request: IpamPoolRequest): Promise<PluginPool> {
    return this.#ask(driver, async (plugin) => {
      const { poolId, subnet, gateway } = await plugin.requestPool(request);
      const grant = { driver, networkId, subnet, address: "", poolId, request: JSON.stringify({ ...request, subnet }) };
      const held = this.#held.get(keyOf(grant));
      if (held !== undefined && held.poolId !== poolId) await plugin.releasePool(poolId);
      this.#hold(grant, "invalid pool request: Pool overlaps with other one on this address space");
      if (gateway !== undefined) this.#hold(addressGrant(grant, { wanted: gateway, isGateway: true }), ADDRESS_IN_USE);
      return { poolId, subnet, gateway };
    });
  }

  /** Has a plug-in give an address of a network's pool. @throws what it says; forbidden when another endpoint has that one */
  requestAddress(pool: PoolKey, request: IpamAddressRequest): Promise<InterfaceAddress> {
    return this.#ask(this.#pool(pool).driver, async (plugin) => {
      // a replay may have renamed it
      const held = this.#pool(pool);
      const got = await plugin.requestAddress(held.poolId, parsePrefix(pool.subnet).family, request);
      this.#hold(addressGrant(held, { ...request, wanted: got.address }), ADDRESS_IN_USE);
      return got;
    });
  }

  #pool(pool: PoolKey): IpamGrantRow {
    const found = this.#held.get(keyOf({ ...pool, address: "" }));
    if (found === undefined) throw new DhowError("unavailable", `find the address pool ${pool.subnet}: its IPAM driver did not give it`);
    return found;
  }

  #hold(grant: IpamGrantRow, refusal: string): void {
    const key = keyOf(grant);
    if (this.#held.has(key) && !this.#leaving.delete(key)) throw new DhowError("forbidden", refusal);
    this.#deps.table.put(grant);
    this.#held.set(key, grant);
  }

  /** What a network holds: addresses, then pools. */
  of(networkId: string): IpamGrantRow[] {
    return [...this.#held.values()].filter((grant) => grant.networkId === networkId).sort(poolsLast);
  }

  /** The pool that an address is held of. */
  poolOf(networkId: string, address: string): PoolKey | undefined {
    return this.of(networkId).find((grant) => grant.address === address);
  }

  /** Gives back what is held, addresses before their pools. What can't be given back now is given back later. */
  async release(grants: readonly IpamGrantRow[]): Promise<void> {
    const own = grants.filter((grant) => this.#held.has(keyOf(grant))).sort(poolsLast);
    const leaving = own.flatMap((grant): Leaving[] => {
      const key = keyOf(grant);
      // somebody gives it back already
      if (this.#leaving.has(key)) return [];
      const entry = { grant, isBeingTold: false };
      this.#leaving.set(key, entry);
      return [entry];
    });
    await this.#tellAll(leaving);
  }

  /** Gives back one address. */
  async releaseAddress(pool: PoolKey, address: string): Promise<void> {
    const grant = this.#held.get(keyOf({ ...pool, address }));
    if (grant !== undefined) await this.release([grant]);
  }

  /** Tells of what leaves one after the other, until a plug-in doesn't answer. */
  async #tellAll(list: readonly Leaving[]): Promise<void> {
    for (const leaving of list) {
      // the plug-in may have given it again, or heard of it, meanwhile
      const isStill = this.#leaving.get(keyOf(leaving.grant)) === leaving && !leaving.isBeingTold;
      if (isStill && !(await this.#tell(leaving))) return;
    }
  }

  /** Tells a plug-in that something is free again. False: it doesn't answer. What it answers is its own affair: it has heard. */
  async #tell(leaving: Leaving): Promise<boolean> {
    const { grant } = leaving;
    const { driver, address } = grant;
    const key = keyOf(grant);
    const { poolId } = this.#held.get(keyOf({ ...grant, address: "" })) ?? grant;
    leaving.isBeingTold = true;
    try {
      const plugin = new IpamPlugin(await this.#deps.plugin(driver));
      await (address === "" ? plugin.releasePool(poolId) : plugin.releaseAddress(poolId, address));
    } catch (error) {
      this.#deps.log.warn("an IPAM plugin could not be told what is free again", { driver, poolId, address, error: errorMessage(error) });
      if (!isAnswered(error)) return false;
    } finally {
      leaving.isBeingTold = false;
    }
    if (this.#leaving.get(key) !== leaving) return true;
    this.#leaving.delete(key);
    this.#held.delete(key);
    this.#deps.table.remove(grant);
    return true;
  }

  /** Takes up what the plug-in gave another host for a network of several: this one may be the one to give it back. */
  adopt({ id: networkId, ipamDriver: driver, ipamOptions, pools }: NetworkConfig): void {
    const options = ipamOptions ?? {};
    for (const { subnet, ipRange = "", gateway, auxAddresses = {}, addressSpace = "", poolId } of pools) {
      if (poolId === undefined) continue;
      const { family } = parsePrefix(subnet);
      const request: IpamPoolRequest = { addressSpace, subnet, ipRange, options, family, isShared: true };
      const pool = { driver, networkId, subnet, address: "", poolId, request: JSON.stringify(request) };
      const addresses = [
        ...(gateway ? [addressGrant(pool, { wanted: gateway, isGateway: true })] : []),
        ...Object.values(auxAddresses).map((wanted) => addressGrant(pool, { wanted })),
      ];
      for (const grant of [pool, ...addresses]) {
        if (this.#held.has(keyOf(grant))) continue;
        this.#deps.table.put(grant);
        this.#held.set(keyOf(grant), grant);
      }
    }
  }

  /**
   * All networks of several hosts are known by now: what this daemon began with and is of none goes back, unless another host that removed the
   * network has given it back.
   */
  caughtUp(isUsed: (grant: IpamGrantRow) => boolean, isRemovedElsewhere: (networkId: string) => boolean): void {
    const grants = [...this.#postponed].flatMap((key) => this.#held.get(key) ?? []);
    this.#postponed.clear();
    const left = grants.filter((grant) => !isUsed(grant));
    for (const { networkId } of left) if (isRemovedElsewhere(networkId)) this.forget(networkId);
    const own = left.filter(({ networkId }) => !isRemovedElsewhere(networkId));
    if (own.length > 0) void this.release(own);
  }

  /** Another host has removed a network, and given back what is not on its way back already. */
  forget(networkId: string): void {
    for (const grant of this.of(networkId)) {
      if (this.#leaving.has(keyOf(grant))) continue;
      this.#deps.table.remove(grant);
      this.#held.delete(keyOf(grant));
    }
  }

  /** Whether a grant is of a network of several hosts. */
  #isShared({ networkId, subnet }: IpamGrantRow): boolean {
    const pool = this.#held.get(keyOf({ networkId, subnet, address: "" }));
    return pool !== undefined && (JSON.parse(pool.request) as IpamPoolRequest).isShared === true;
  }

  /**
   * After a start of the daemon: begins to tell plug-ins that want it what is in use, and to give back what is nobody's by now. Nobody waits for
   * it but who asks the same plug-in. A network of several hosts that `isKnown` doesn't know may be there all the same: see `caughtUp`.
   */
  resume(isUsed: (grant: IpamGrantRow) => boolean, isKnown: (networkId: string) => boolean = () => true): void {
    for (const [key, grant] of this.#held) {
      if (isUsed(grant)) continue;
      if (!isKnown(grant.networkId) && this.#isShared(grant)) this.#postponed.add(key);
      else this.#leaving.set(key, { grant, isBeingTold: false });
    }
    for (const driver of new Set([...this.#held.values()].map((grant) => grant.driver))) {
      this.#plugin(driver).catch((error: unknown) =>
        this.#deps.log.warn("an IPAM plugin can't be used", { driver, error: errorMessage(error) }),
      );
    }
  }

  /** Asks a plug-in for something. */
  async #ask<T>(driver: string, work: (plugin: IpamPlugin) => Promise<T>): Promise<T> {
    const plugin = await this.#plugin(driver);
    const state = this.#state(driver);
    while (state.settling !== undefined) await state.settling;
    state.asked++;
    try {
      return await work(plugin);
    } finally {
      state.asked--;
    }
  }

  #state(driver: string): DriverState {
    const known = this.#drivers.get(driver);
    if (known !== undefined) return known;
    const state: DriverState = { asked: 0, replay: undefined, settling: undefined, capabilities: undefined };
    this.#drivers.set(driver, state);
    return state;
  }

  /** A plug-in that knows what is in use, and what isn't any more. */
  async #plugin(driver: string): Promise<IpamPlugin> {
    const plugin = new IpamPlugin(await this.#deps.plugin(driver));
    const state = this.#state(driver);
    state.replay ??= this.#replay(driver).catch((error: unknown) => {
      state.replay = undefined;
      throw error;
    });
    await state.replay;
    // what is given back a second time may have been given to somebody in between
    if (state.asked === 0) {
      state.settling ??= this.#settle(driver).finally(() => {
        state.settling = undefined;
      });
    }
    return plugin;
  }

  async #capabilities(driver: string): Promise<IpamCapabilities> {
    const state = this.#state(driver);
    state.capabilities ??= await new IpamPlugin(await this.#deps.plugin(driver)).capabilities();
    return state.capabilities;
  }

  /** Gives back what is owed. */
  #settle(driver: string): Promise<void> {
    const owed = [...this.#leaving.values()].filter(({ grant }) => grant.driver === driver);
    return this.#tellAll(owed.sort((a, b) => poolsLast(a.grant, b.grant)));
  }

  /** Asks a plug-in that forgets between two lives of the daemon for all that is in use. @see `RequiresRequestReplay` */
  async #replay(driver: string): Promise<void> {
    if (!(await this.#capabilities(driver)).needsReplay) return;
    const plugin = new IpamPlugin(await this.#deps.plugin(driver));
    const own = [...this.#held.values()].filter((grant) => grant.driver === driver && !this.#leaving.has(keyOf(grant)));
    for (const pool of own.filter(({ address }) => address === "")) {
      const addresses = own.filter(
        ({ networkId, subnet, address }) => networkId === pool.networkId && subnet === pool.subnet && address !== "",
      );
      await this.#replayPool(plugin, pool, addresses);
    }
  }

  async #replayPool(plugin: IpamPlugin, pool: IpamGrantRow, addresses: readonly IpamGrantRow[]): Promise<void> {
    await this.#replayOne(pool, async () => {
      const { poolId } = await plugin.requestPool(JSON.parse(pool.request) as IpamPoolRequest);
      this.#rename(pool, poolId);
    });
    const { family } = parsePrefix(pool.subnet);
    for (const grant of addresses) {
      const { poolId } = this.#pool(pool);
      const request = JSON.parse(grant.request) as IpamAddressRequest;
      await this.#replayOne(grant, () => plugin.requestAddress(poolId, family, request));
    }
  }

  /** What a plug-in does not give again is in use all the same. */
  async #replayOne({ driver, networkId, subnet, address }: IpamGrantRow, ask: () => Promise<unknown>): Promise<void> {
    try {
      await ask();
    } catch (error) {
      if (!isAnswered(error)) throw error;
      const details = { driver, network: networkId, subnet, address, error: errorMessage(error) };
      this.#deps.log.warn("an IPAM plugin doesn't give again what is in use", details);
    }
  }

  /** A pool's name at its plug-in is another one. */
  #rename(pool: PoolKey, poolId: string): void {
    this.#deps.table.setPoolId(pool, poolId);
    for (const [key, grant] of this.#held) {
      if (grant.networkId === pool.networkId && grant.subnet === pool.subnet) this.#held.set(key, { ...grant, poolId });
    }
  }
}

const keyOf = ({ networkId, subnet, address }: Pick<IpamGrantRow, "networkId" | "subnet" | "address">): string =>
  `${networkId} ${subnet} ${address}`;

/** The grant of an address, from its pool's. */
function addressGrant(pool: IpamGrantRow, request: IpamAddressRequest): IpamGrantRow {
  return { ...pool, address: request.wanted, request: JSON.stringify(request) };
}

const poolsLast = (a: IpamGrantRow, b: IpamGrantRow): number => Number(a.address === "") - Number(b.address === "");
