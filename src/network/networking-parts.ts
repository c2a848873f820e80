import { DhowError, type Logger } from "../lib/mod.ts";
import { currentNetns, type Fd, listLinks, NETLINK, NetlinkSocket } from "../linux/mod.ts";
import { EndpointsTable, IpamGrantsTable } from "../metadata/mod.ts";
import { ownIpv6 } from "./default-bridge.ts";
import { DnsServer } from "./dns/dns-server.ts";
import { hostNetworks } from "./drivers/bridge-link.ts";
import { Egress, type EgressDenied } from "./egress/egress.ts";
import { Firewall } from "./firewall.ts";
import { HostServers } from "./host-servers.ts";
import { DEFAULT_POOLS, type PoolSpec } from "./ipam.ts";
import { IpamGrants } from "./ipam-grants.ts";
import { IPAM_DRIVER } from "./ipam-plugin.ts";
import { NetworkDrivers } from "./network-drivers.ts";
import type { NetworkingOptions } from "./networking-options.ts";
import { Networks } from "./networks.ts";
import { OverlayGuard } from "./overlay/mod.ts";
import { PREDEFINED, Predefined } from "./predefined.ts";
import { Publisher } from "./publisher.ts";
import { Reaper } from "./reaper.ts";
import type { Sandboxes } from "./sandboxes.ts";
import { TableWatch } from "./table-watch.ts";

/** What `Networking` is made of, as far as it is there before the start. */
export interface NetworkingParts {
  readonly log: Logger;
  readonly table: EndpointsTable;
  /** The daemon's own namespace. */
  readonly home: Fd;
  readonly route: NetlinkSocket;
  readonly netfilter: NetlinkSocket;
  readonly firewall: Firewall;
  readonly publisher: Publisher;
  readonly egress: Egress;
  readonly guard: OverlayGuard;
  readonly tables: TableWatch;
  readonly reaper: Reaper;
  readonly dnsServer: DnsServer;
  readonly hostServers: HostServers;
  readonly predefined: Predefined;
  readonly drivers: NetworkDrivers;
  readonly grants: IpamGrants;
  readonly networks: Networks;
}

/** What parts need of what comes later. */
export interface LaterParts {
  readonly sandboxes: () => Sandboxes | undefined;
  readonly onDenied: (containerId: string, denial: EgressDenied) => void;
}

/** Makes the parts; nothing of the host is changed yet. */
export function makeParts(options: NetworkingOptions, { sandboxes, onDenied }: LaterParts): NetworkingParts {
  const log = options.log.child({ room: "network" });
  const table = new EndpointsTable(options.db);
  const home = currentNetns();
  const route = new NetlinkSocket(NETLINK.ROUTE);
  const netfilter = new NetlinkSocket(NETLINK.NETFILTER);
  const firewall: Firewall = new Firewall(options.tableName, netfilter, () => publisher.all(), options.acceptMark);
  const publisher = new Publisher({ firewall, netfilter, log });
  const egress = new Egress({
    tableName: `${options.tableName}-egress`,
    netfilter,
    log,
    interfaceName: (index) => listLinks(route).find((link) => link.index === index)?.name,
    onDenied,
    record: (containerId) => sandboxes()?.recordAgain(containerId),
  });
  const guard = new OverlayGuard(`${options.tableName}-overlay`, netfilter);
  const tables = new TableWatch([guard, egress, firewall], log);
  const reaper = new Reaper({ route, table, log });
  const dnsServer = new DnsServer({ home, log });
  const hostServers = new HostServers({ resolvConf: options.hostResolvConf, dns: dnsServer, log });
  const drivers = new NetworkDrivers({ options, home, route, netfilter, firewall, egress, guard, reaper, table, log });
  const grants = makeGrants(options, log);
  const networks = new Networks({
    grants,
    table,
    log,
    driver: (name) => drivers.get(name),
    predefined: PREDEFINED.map(([name]) => name),
    taken: () => [...hostNetworks(route), ...hostServers.networks()],
    pools: poolsOf(options),
    defaultOptions: options.defaultNetworkOptions ?? {},
    endpoints: (id) =>
      (sandboxes()?.endpointsOn(id) ?? []).map(({ containerName, endpoint }) => ({ name: containerName, endpointId: endpoint.endpointId })),
  });
  return {
    ...{ log, table, home, route, netfilter, firewall, publisher, egress, guard, tables, reaper, dnsServer, hostServers },
    ...{ predefined: new Predefined(table), drivers, grants, networks },
  };
}

function makeGrants({ db, plugin }: NetworkingOptions, log: Logger): IpamGrants {
  return new IpamGrants({
    table: new IpamGrantsTable(db),
    log: log.child({ part: "ipam" }),
    plugin: async (name) => {
      if (plugin === undefined) throw new DhowError("notFound", `plugin ${JSON.stringify(name)} not found`);
      return plugin(name, IPAM_DRIVER);
    },
  });
}

/** Where networks get their subnets from that ask for none. */
function poolsOf(options: NetworkingOptions): readonly PoolSpec[] {
  const given = options.defaultAddressPools ?? [];
  return [...(given.some(({ base }) => !base.includes(":")) ? [] : DEFAULT_POOLS), ...given, ownIpv6(options)];
}
