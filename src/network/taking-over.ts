/** What a daemon finds of the last one in the kernel and in its tables, and what becomes of it. */
import { deleteLink, findLink, isErrno, type Link, type NetlinkSocket } from "../linux/mod.ts";
import type { EndpointsTable, IpamGrantRow } from "../metadata/mod.ts";
import { formatIp, type Prefix, parseIp, parsePrefix } from "./ip.ts";
import type { NetworkConfig } from "./network-config.ts";
import type { Networks, OpenNetwork } from "./networks.ts";
import { addressesOf } from "./sandbox.ts";
import type { Sandboxes } from "./sandboxes.ts";
import { pluggedInto } from "./self-check.ts";

/** Deletes a link of the host; one that is gone: nothing. @throws {NetlinkError} */
export function unplug(route: NetlinkSocket, name: string): void {
  const [failed] = route.requestAll([deleteLink(name)]);
  if (failed !== undefined && !isErrno(failed, "ENODEV")) throw failed;
}

/** The subnets of networks that are not open yet: after a restart of the host, no route shows them. */
export function userSubnets(table: EndpointsTable): Prefix[] {
  const configs = table.userNetworks().map((row) => JSON.parse(row.config) as NetworkConfig);
  return configs.flatMap(({ isConfigOnly, pools }) => (isConfigOnly ? [] : pools.map(({ subnet }) => parsePrefix(subnet))));
}

interface Bridges {
  readonly route: NetlinkSocket;
  readonly table: EndpointsTable;
  readonly networks: Networks;
}

/** Deletes bridges that the last daemon made for networks that never came to be, or was about to remove. */
export function sweepBridges({ route, table, networks }: Bridges, defaultBridge: string): void {
  const used = new Set([defaultBridge, ...networks.opened().flatMap(({ on }) => [on.bridge ?? "", ...(on.links ?? [])])]);
  // a network that can't be opened now may be there again at the next start
  for (const { id, options } of networks.list()) {
    for (const prefix of ["br", "dm", "ov", "vx"]) used.add(`${prefix}-${id.slice(0, 12)}`);
    used.add(options["com.docker.network.bridge.name"] ?? "").add(options["parent"] ?? "");
  }
  for (const { name, mac } of table.bridges()) {
    if (used.has(name)) continue;
    if (findLink(route, name)?.mac === mac) unplug(route, name);
    table.removeBridge(name);
  }
}

interface Plugs {
  readonly links: readonly Link[];
  readonly opened: readonly OpenNetwork[];
  readonly held: ReturnType<Sandboxes["held"]>;
}

/** Unplugs what is on a bridge and of no endpoint. */
export function unplugStray(route: NetlinkSocket, { links, opened, held }: Plugs): void {
  const owned = new Set(held.flatMap(({ endpoints }) => endpoints.flatMap(({ plugged }) => plugged.hostInterface ?? [])));
  for (const name of pluggedInto(opened, links)) {
    if (!owned.has(name) && /^veth[0-9a-f]{7}$/.test(name)) unplug(route, name);
  }
}

/** Whether what an IPAM plug-in gave is a network's, or of an endpoint that was taken up. */
export function isGrantUsed(networks: Networks, sandboxes: Sandboxes, { networkId, address }: IpamGrantRow): boolean {
  const config = networks.config(networkId);
  if (config === undefined) return false;
  const reserved = config.pools.flatMap(({ gateway, auxAddresses = {} }) => [gateway, ...Object.values(auxAddresses)]);
  const isOpen = networks.opened().some((network) => network.config.id === networkId);
  // those of a network that can't be opened now are not known
  if (address === "" || !isOpen || reserved.some((text) => text && formatIp(parseIp(text)) === address)) return true;
  return sandboxes
    .held()
    .some(({ endpoints }) => endpoints.some((e) => e.network.config.id === networkId && addressesOf(e).includes(address)));
}
