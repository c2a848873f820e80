import type { Logger } from "../lib/mod.ts";
import type { Database } from "../metadata/mod.ts";
import type { Plugin } from "../plugins/mod.ts";
import type { FirewallMark } from "./firewall-table.ts";
import type { PoolSpec } from "./ipam.ts";
import type { ClusterSettings } from "./overlay/mod.ts";

export interface NetworkingOptions {
  readonly db: Database;
  readonly log: Logger;
  /** Name of the default bridge; "none" = no default bridge at all. */
  readonly bridgeName: string;
  /** The nft table of this daemon; two daemons of one host need two names. */
  readonly tableName: string;
  /** Address and network of the bridge, `10.1.0.1/24`. Empty texts and lists count as not given, here and below. */
  readonly bip?: string | undefined;
  /** Where the default routes of containers on the default bridge lead instead of to the bridge: one address a family. */
  readonly defaultGateways?: readonly string[] | undefined;
  /** The part of the bridge's network that containers get addresses of. */
  readonly fixedCidr?: string | undefined;
  /** The default bridge has IPv6. */
  readonly hasIpv6?: boolean | undefined;
  /** Its IPv6 address and network, `fd00:1::1/64`. */
  readonly bip6?: string | undefined;
  /** The part of its IPv6 network that containers get addresses of, and all of it without `bip6`; default one of the daemon's own. */
  readonly fixedCidrV6?: string | undefined;
  /** What the daemon's own IPv6 networks follow from: the same text, the same networks. */
  readonly ulaSeed?: string | undefined;
  /** What `host-gateway` stands for; default the default bridge's addresses. */
  readonly hostGatewayIps?: readonly string[] | undefined;
  /** Options that new networks have unless they say otherwise, by driver. */
  readonly defaultNetworkOptions?: Readonly<Record<string, Readonly<Record<string, string>>>> | undefined;
  /** Default 1500. */
  readonly mtu?: number | undefined;
  /** Switch the host's forwarding on; default true. */
  readonly ipForward?: boolean | undefined;
  /** Containers of the bridge reach each other; default true. */
  readonly icc?: boolean | undefined;
  /** Published ports of all bridges answer on the containers' own addresses, too. */
  readonly allowsDirectRouting?: boolean | undefined;
  /** What is marked so comes to every port of containers. */
  readonly acceptMark?: FirewallMark | undefined;
  /** Containers go out with the host's address; default true. */
  readonly ipMasq?: boolean | undefined;
  readonly defaultAddressPools?: readonly PoolSpec[] | undefined;
  /** Where ports are published that name no address (docker's `--ip`); default, as 0.0.0.0, every address, IPv6 too. */
  readonly defaultHostIp?: string | undefined;
  /** The hosts that networks are shared with; undefined: none. */
  readonly cluster?: ClusterSettings | undefined;
  /** Sandboxes kept ready on the bridge; default 12 (and a third of it without network). */
  readonly poolSize?: number | undefined;
  /** Default /etc/resolv.conf. */
  readonly hostResolvConf?: string | undefined;
  /** The plug-in of a name, for networks of other drivers than these, and addresses of other IPAM drivers. @throws notFound in docker's words */
  readonly plugin?: ((name: string, kind: "NetworkDriver" | "IpamDriver") => Promise<Plugin>) | undefined;
}
