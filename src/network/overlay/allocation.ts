import { DhowError } from "../../lib/mod.ts";
import { firstAddress } from "../addresses.ts";
import type { Removal } from "../drivers/driver.ts";
import { doOverlap, formatIp, formatPrefix, type Prefix, parseIp, parsePrefix } from "../ip.ts";
import { findSubnet, type PoolSpec } from "../ipam.ts";
import { isIpamPlugin } from "../ipam-network.ts";
import { familiesOf, type IpamPool, type NetworkConfig } from "../network-config.ts";
import type { Cluster } from "./cluster.ts";

/** What networks of all hosts have taken, each by network id. */
interface Allocation {
  readonly names: Readonly<Record<string, string>>;
  readonly vnis: Readonly<Record<string, string>>;
  readonly subnets: Readonly<Record<string, string>>;
}

const KEY = "allocation";
const EMPTY: Allocation = { names: {}, vnis: {}, subnets: {} };
/** Docker's first; those below are for VLANs. */
const FIRST_VNI = 4096;
const LAST_VNI = 2 ** 24 - 1;
const VNI_OPTION = "com.docker.network.driver.overlay.vxlanid_list";
const POOLS: readonly PoolSpec[] = [
  { base: "10.0.0.0/8", size: 24 },
  { base: "fd00:d0::/32", size: 64 },
];
/** Below it, who removed which network. */
const REMOVALS = "removals/";
/** So long it is known: a daemon that was killed while it removed the same one is back by then. */
const REMOVAL_SECONDS = 24 * 60 * 60;
/** More hosts than this never want the same at once. */
const MAX_TRIES = 50;

/** The VXLAN network identifier of a network. @throws invalid */
export function vniOf({ options }: Pick<NetworkConfig, "options">): number | undefined {
  const text = options[VNI_OPTION];
  if (text === undefined || text === "") return undefined;
  const vni = Number(text);
  if (!/^\d+$/.test(text) || vni < 1 || vni > LAST_VNI)
    throw new DhowError("invalid", `invalid vxlan id value ${JSON.stringify(text)} passed`);
  return vni;
}

/** Changes what is taken, for all hosts at once: of two that want the same, the second one looks again. @throws unavailable; what `change` throws */
async function change(
  cluster: Cluster,
  change: (allocation: Allocation) => Allocation,
  also: Pick<Parameters<Cluster["transact"]>, 0 | 1>,
): Promise<"done" | "refused"> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const found = await cluster.read(KEY);
    const before = found === undefined ? EMPTY : (JSON.parse(found.value) as Allocation);
    const value = JSON.stringify(change(before));
    const condition = found === undefined ? ({ key: KEY, isAbsent: true } as const) : { key: KEY, modRevision: found.modRevision };
    if (await cluster.transact([condition, ...also[0]], [{ put: KEY, value }, ...also[1]])) return "done";
    const now = await cluster.read(KEY);
    if (now?.modRevision === found?.modRevision) return "refused";
  }
  throw new DhowError("unavailable", "allocate an overlay network: other hosts changed it all the time; try again");
}

/**
 * Gives a new network its VNI and its subnets, which no other network of any host has, and makes it known to all hosts.
 * @throws conflict, forbidden, invalid in docker's words; unavailable
 */
export async function allocateNetwork(cluster: Cluster, draft: NetworkConfig, taken: readonly Prefix[]): Promise<NetworkConfig> {
  let config: NetworkConfig = draft;
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const found = await cluster.read(KEY);
    const before = found === undefined ? EMPTY : (JSON.parse(found.value) as Allocation);
    config = completed(draft, before, taken);
    const vni = vniOf(config);
    const after: Allocation = {
      names: { ...before.names, [config.name]: config.id },
      vnis: { ...before.vnis, [String(vni)]: config.id },
      // what a plug-in gives may be another network's, too
      subnets: { ...Object.fromEntries(config.pools.map(({ subnet }) => [subnet, config.id])), ...before.subnets },
    };
    const condition = found === undefined ? ({ key: KEY, isAbsent: true } as const) : { key: KEY, modRevision: found.modRevision };
    const put = [
      { put: KEY, value: JSON.stringify(after) },
      { put: `networks/${config.id}`, value: JSON.stringify(config) },
    ];
    if (await cluster.transact([condition], put)) return config;
  }
  throw new DhowError("unavailable", "allocate an overlay network: other hosts changed the allocation all the time; try again");
}

function completed(draft: NetworkConfig, { names, vnis, subnets }: Allocation, taken: readonly Prefix[]): NetworkConfig {
  if (names[draft.name] !== undefined) throw new DhowError("conflict", `network with name ${draft.name} already exists`);
  const wanted = vniOf(draft);
  if (wanted !== undefined && vnis[String(wanted)] !== undefined) throw new DhowError("conflict", `vxlan id ${wanted} is in use`);
  let vni = wanted ?? FIRST_VNI;
  while (wanted === undefined && vnis[String(vni)] !== undefined) vni++;
  const options = { ...draft.options, [VNI_OPTION]: String(vni) };
  if (isIpamPlugin(draft.ipamDriver)) return { ...draft, options };
  const others = Object.keys(subnets).map(parsePrefix);
  const pools: IpamPool[] = [];
  for (const family of familiesOf(draft)) {
    const own = draft.pools.filter(({ subnet }) => subnet && parsePrefix(subnet).family === family);
    for (const pool of own) {
      const mine = parsePrefix(pool.subnet);
      if ([...others, ...pools.map((p) => parsePrefix(p.subnet))].some((other) => doOverlap(other, mine))) {
        throw new DhowError("forbidden", "invalid pool request: Pool overlaps with other one on this address space");
      }
      pools.push(withGateway(pool));
    }
    if (own.length > 0) continue;
    const found = findSubnet(POOLS, family, [...others, ...taken]);
    if (found === undefined)
      throw new DhowError("conflict", `every IPv${family} network of the overlay's pool is taken; give the network a --subnet`);
    pools.push(withGateway({ subnet: formatPrefix(found) }));
  }
  return { ...draft, pools, options };
}

function withGateway(pool: IpamPool): IpamPool {
  if (pool.gateway) return pool;
  const range = pool.ipRange ? parsePrefix(pool.ipRange) : undefined;
  const reserved = Object.values(pool.auxAddresses ?? {}).map(parseIp);
  return { ...pool, gateway: formatIp(firstAddress({ subnet: parsePrefix(pool.subnet), range, reserved })) };
}

/**
 * Takes a network away, for all hosts. Of several that do so at once, one does: it leaves its name, so that it knows of it also when the answer
 * got lost. @throws forbidden while a container of any host is on it; unavailable
 */
export async function freeNetwork(cluster: Cluster, { id, name }: Pick<NetworkConfig, "id" | "name">): Promise<Removal> {
  const without = (record: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(record).filter(([, owner]) => owner !== id));
  const isUnused = ["addresses", "endpoints"].map((kind) => ({ key: `${kind}/${id}/`, isAbsent: true, isPrefix: true }) as const);
  const lease = await cluster.grantTimer(REMOVAL_SECONDS);
  const outcome = await change(
    cluster,
    ({ names, vnis, subnets }) => ({ names: without(names), vnis: without(vnis), subnets: without(subnets) }),
    [
      [{ key: `networks/${id}`, isPresent: true }, ...isUnused],
      [{ delete: `networks/${id}` }, { put: REMOVALS + id, value: cluster.hostId, lease }],
    ],
  );
  if (outcome === "done") return "removed";
  await cluster.revokeTimer(lease);
  if ((await cluster.read(`networks/${id}`)) !== undefined) {
    throw new DhowError("forbidden", `error while removing network: network ${name} has active endpoints on other hosts`);
  }
  return (await cluster.read(REMOVALS + id))?.value === cluster.hostId ? "removed" : "gone";
}

/** Whether another host has removed a network, not long ago. */
export function isRemovedElsewhere(cluster: Cluster, id: string): boolean {
  return cluster.entries(REMOVALS + id).some(([, host]) => host !== cluster.hostId);
}
