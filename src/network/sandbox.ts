import type { Fd } from "../linux/mod.ts";
import type { EgressPolicy, NetConditions } from "../spec/engine/mod.ts";
import type { InterfaceAddress, PluggedEndpoint } from "./drivers/driver.ts";
import type { RefusedName } from "./egress/refused.ts";
import type { Family } from "./ip.ts";
import type { LentDevice } from "./lent-devices.ts";
import type { OpenNetwork } from "./networks.ts";
import type { PortSpecs } from "./port-specs.ts";
import type { BoundPorts, CutPort, StoredPorts } from "./publisher.ts";

/** What a container wants of one network. */
export interface EndpointWish {
  readonly networkId: string;
  /** Addresses that it asks for; undefined: any. */
  readonly ipv4?: string | undefined;
  readonly ipv6?: string | undefined;
  /** Its interface is to have no IPv6, whatever the network has. */
  readonly isWithoutIpv6?: boolean | undefined;
  /** More addresses of its interface, of no subnet. */
  readonly linkLocalIps?: readonly string[] | undefined;
  /** `02:42:…`; default from the address. */
  readonly mac?: string | undefined;
  /** The names that others on the network know it by: its own first, then aliases, short id, host name. */
  readonly names: readonly string[];
  /** Names that it alone has for others: alias → container id, or the name of one that is still to come. */
  readonly links?: Readonly<Record<string, string>> | undefined;
  readonly options?: Readonly<Record<string, string>> | undefined;
  /** The highest has the default route. */
  readonly gwPriority?: number | undefined;
  /** Nobody asked for it: the way out of containers whose networks have none. Not shown. */
  readonly isOutside?: boolean | undefined;
}

/** How a container's names are served. */
export interface DnsWish {
  /** `--dns`; empty: the host's servers. */
  readonly servers: readonly string[];
  /** Names without a dot are not asked for elsewhere: `ndots` is set. */
  readonly keepsSingleLabels: boolean;
}

export interface AcquireRequest {
  /** For error texts. */
  readonly containerName: string;
  readonly ports: PortSpecs;
  /** In the order of its interfaces; none: a loopback and nothing else. */
  readonly endpoints: readonly EndpointWish[];
  readonly dns?: DnsWish | undefined;
  /** How slow and lossy its interfaces are to be. */
  readonly conditions?: NetConditions | undefined;
  /** What it may reach; undefined: everything. */
  readonly egress?: EgressPolicy | undefined;
  /** A network namespace that is to be the sandbox's, one of another user namespace; owned from now on. */
  readonly netns?: Fd | undefined;
}

/** What a running container has of one network. */
export interface SandboxEndpoint {
  readonly networkId: string;
  readonly networkName: string;
  readonly endpointId: string;
  readonly interfaceName: string;
  readonly macAddress: string;
  readonly ipv4: InterfaceAddress | undefined;
  readonly ipv6: InterfaceAddress | undefined;
  readonly gateway: string;
  readonly ipv6Gateway: string;
  readonly names: readonly string[];
}

/** What a running container has of the network. */
export interface Sandbox {
  readonly containerId: string;
  readonly sandboxId: string;
  /** For the runtime's config; valid until `release`, in this life of the daemon. */
  readonly netnsPath: string;
  /** In the order of the interfaces. */
  readonly endpoints: readonly SandboxEndpoint[];
  readonly ports: BoundPorts;
  /** It asks the daemon for names, at 127.0.0.11. */
  readonly hasDns: boolean;
}

/** An endpoint in the form of its row. */
export interface StoredEndpoint {
  readonly interfaceName: string;
  /** Its address alone; the prefix length is the network's. */
  readonly ipv4?: string | null | undefined;
  readonly ipv6?: string | null | undefined;
  readonly mac: string | null;
  readonly hostInterface?: string | null | undefined;
  readonly wish?: EndpointWish | undefined;
}

/** A sandbox in the form of its row. `leases`, `shown` and numbers in `cut` (of TCP) are as the first versions kept the ports. */
export interface StoredSandbox extends Partial<Omit<StoredPorts, "cut">> {
  readonly cut?: readonly (CutPort | number)[] | undefined;
  readonly leases?: StoredPorts["published"][number]["leases"] | undefined;
  readonly shown?: BoundPorts | undefined;
  readonly containerName?: string | undefined;
  readonly dns?: DnsWish | undefined;
  readonly conditions?: NetConditions | undefined;
  readonly egress?: EgressPolicy | undefined;
  readonly refused?: readonly RefusedName[] | undefined;
  readonly lent?: readonly LentDevice[] | undefined;
}

/** An endpoint as the daemon has it. */
export interface HeldEndpoint {
  readonly network: OpenNetwork;
  readonly wish: EndpointWish;
  readonly interfaceName: string;
  readonly plugged: PluggedEndpoint;
}

/** The ports of a row, of whatever version. */
export function storedPorts({ published, leases = [], exposed, shown = {}, cut = [] }: StoredSandbox): StoredPorts {
  const alone = leases.map((lease) => ({
    request: { ...lease, hostIp: isAny(lease.hostIp) ? "" : lease.hostIp, hostPortEnd: lease.hostPort },
    leases: [lease],
  }));
  return { published: published ?? alone, exposed: exposed ?? Object.keys(shown), cut: cut.map(cutPort) };
}

const cutPort = (port: CutPort | number): CutPort => (typeof port === "number" ? { protocol: "tcp", containerPort: port } : port);
const isAny = (ip: string): boolean => ip === "0.0.0.0" || ip === "::";

/** Addresses that an endpoint has, as text. */
export function addressesOf({ plugged }: Pick<HeldEndpoint, "plugged">): string[] {
  return [plugged.addresses[4], plugged.addresses[6]].flatMap((a) => a?.address ?? []);
}

/**
 * The endpoint that has the default route: the highest priority, then one that leads elsewhere at all, then the first by its network's name.
 * @see libnetwork/endpoint.go of moby v28
 */
export function gatewayEndpoint<T extends Pick<HeldEndpoint, "network" | "wish">>(endpoints: readonly T[], family?: Family): T | undefined {
  const families = family === undefined ? ([4, 6] as const) : [family];
  const leads = ({ network, wish }: T): boolean =>
    families.some((f) => network.on.gateway(f) !== undefined && !(f === 6 && wish.isWithoutIpv6));
  const [first] = endpoints
    .filter(leads)
    .sort((a, b) => (b.wish.gwPriority ?? 0) - (a.wish.gwPriority ?? 0) || (a.network.config.name < b.network.config.name ? -1 : 1));
  return first;
}
