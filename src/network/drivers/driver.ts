import type { Fd } from "../../linux/mod.ts";
import type { AddressSource, MaybePromise } from "../addresses.ts";
import type { Family } from "../ip.ts";
import type { NetworkConfig, NetworkRequest } from "../network-config.ts";

/** An address on an interface. */
export interface InterfaceAddress {
  /** As text. */
  readonly address: string;
  readonly prefixLength: number;
}

/** An interface that a container is to get. */
export interface PlugRequest {
  readonly containerId: string;
  readonly endpointId: string;
  /** The sandbox's network namespace. */
  readonly netns: Fd;
  /** `eth0`, and the index that it is to have there; 0: the kernel's choice. */
  readonly interfaceName: string;
  readonly index: number;
  readonly addresses: Readonly<Record<Family, InterfaceAddress | undefined>>;
  /** Six bytes; undefined: the driver's choice. */
  readonly mac: Uint8Array | undefined;
  /** The container's names on this network, for drivers that tell other hosts. */
  readonly names: readonly string[];
  /** The endpoint's `DriverOpts`. */
  readonly options: Readonly<Record<string, string>>;
  /** Told what it is on the host, before anything passes by it; when that throws, there is no interface. Networks that are `isPoliced` do. */
  readonly beforeUp?: ((made: { readonly hostInterface: string; readonly mac: string }) => void) | undefined;
}

/** What came of it; kept with the endpoint, and given back to `unplug`. */
export interface Plugged {
  /** `02:42:…` */
  readonly mac: string;
  /** Name of the other end on the host, for drivers that have one: as long as it is there, the addresses are in use. */
  readonly hostInterface?: string | undefined;
}

/** A container that somebody else's daemon has on a network that hosts share. */
export interface RemoteEndpoint {
  readonly names: readonly string[];
  readonly addresses: readonly string[];
}

/** What unplug is told of an endpoint. */
export interface PluggedEndpoint extends Plugged {
  readonly containerId: string;
  readonly endpointId: string;
  /** In the sandbox. */
  readonly interfaceName: string;
  readonly addresses: Readonly<Record<Family, InterfaceAddress | undefined>>;
}

/** An endpoint with the names that the others on its network know it by. */
export interface NamedEndpoint extends PluggedEndpoint {
  readonly names: readonly string[];
}

/** `gone`: another host removed the network first; what went with it is that host's to give back. */
export type Removal = "removed" | "gone";

/** A network as its driver has it on this host, from `open` to `close`. */
export interface DriverNetwork {
  /** The addresses of its endpoints; undefined: they have none. */
  readonly addresses: AddressSource | undefined;
  /** The address that containers send to what is elsewhere; empty: the interface itself leads there; undefined: nothing does. */
  gateway(family: Family): string | undefined;
  /** The host's own address on it, where that may be another than the gateway. */
  hostAddress?(family: Family): string | undefined;
  /** Whether ports of its containers are published on the host. */
  readonly publishesPorts: boolean;
  /** Whether published ports answer on the containers' own addresses, too, at least to some. */
  readonly hasReachablePorts?: boolean;
  /** Name of its bridge on the host, if it has one. */
  readonly bridge?: string | undefined;
  /** Names of other links on the host that it stands on. */
  readonly links?: readonly string[] | undefined;
  /** Whether all that its containers send passes this daemon's firewall, so that an egress policy holds. */
  readonly isPoliced?: boolean;

  /** Makes the interface in the sandbox, up and addressed, without a default route. Nothing is left when it fails. */
  plug(request: PlugRequest): MaybePromise<Plugged>;
  /**
   * Takes back what `plug` made outside of the sandbox. `isSandboxGone`: the namespace went, and everything in it; else the interface
   * is still in `netns` and has to go at once.
   */
  unplug(endpoint: PluggedEndpoint, options: { readonly isSandboxGone: boolean; readonly netns: Fd | undefined }): MaybePromise<void>;
  /** An endpoint that the last daemon plugged in is still there. */
  adopt?(endpoint: NamedEndpoint): MaybePromise<void>;
  /** An endpoint has other names from now on; for drivers that tell other hosts. */
  rename?(endpoint: NamedEndpoint): void;
  /** Whether containers reach what is elsewhere by a second interface, on the default bridge. */
  readonly needsOutside?: boolean | undefined;
  /** Endpoints of other hosts, for the name server. */
  remoteEndpoints?(): readonly RemoteEndpoint[];
  /** Ends this daemon's part; the network stays. */
  close(): void;
  /** Takes away what the driver made of it on this host, and the network itself where hosts share it. No endpoint is left. */
  remove(): MaybePromise<Removal>;
}

/** A kind of network. */
export interface NetworkDriver {
  readonly name: string;
  /** `global`: known to other hosts, too. */
  readonly scope: "local" | "global";
  /** Checks the options of a new network. @throws invalid, forbidden, notFound in docker's words */
  check(request: NetworkRequest): MaybePromise<void>;
  /** Whether a gateway that nobody asked for would be of no use to the containers of a network to be: all addresses are theirs then. */
  needsNoGateway?(request: NetworkRequest, family: Family): boolean;
  /**
   * Completes the subnets and options of a new network, whose pools are those that it asks for. Without it, the daemon's own IPAM does.
   * @throws in docker's words
   */
  complete?(draft: NetworkConfig): MaybePromise<NetworkConfig>;
  /** Makes what the host needs of it, or takes it up: at its creation, and at every start of the daemon. */
  open(config: NetworkConfig, options: { readonly isNew: boolean }): MaybePromise<DriverNetwork>;
}
