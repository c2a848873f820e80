import { DhowError, type Logger } from "../../lib/mod.ts";
import { addIpAddress, addRoute, type Fd, findLink, formatMac, insideNetns, NETLINK, NetlinkSocket, setLink } from "../../linux/mod.ts";
import type { Plugin } from "../../plugins/mod.ts";
import { LocalAddresses } from "../addresses.ts";
import { type Family, ipBytes, parseIp, parsePrefix } from "../ip.ts";
import { ANY_SUBNET } from "../ipam.ts";
import { parseMac } from "../mac.ts";
import { familiesOf, type IpamPool, type NetworkConfig } from "../network-config.ts";
import { setIpv6 } from "./bridge-link.ts";
import type { DriverNetwork, InterfaceAddress, NetworkDriver, Plugged, PluggedEndpoint, PlugRequest, Removal } from "./driver.ts";

export interface RemoteDeps {
  /** The daemon's own namespace. */
  readonly home: Fd;
  readonly route: NetlinkSocket;
  readonly log: Logger;
  readonly reclaim: () => boolean;
  /** The plug-in of that name. @throws notFound in docker's words */
  readonly plugin: (name: string) => Promise<Plugin>;
}

interface Interface {
  readonly Address?: string;
  readonly AddressIPv6?: string;
  readonly MacAddress?: string;
}

/** What a plug-in says when a container joins. @see libnetwork/docs/remote.md of moby v28 */
interface Joined {
  readonly InterfaceName?: { readonly SrcName?: string; readonly DstPrefix?: string };
  readonly Gateway?: string;
  readonly GatewayIPv6?: string;
  readonly StaticRoutes?: readonly { readonly Destination?: string; readonly RouteType?: number; readonly NextHop?: string }[];
}

/** Networks of somebody else's making: docker's remote network drivers, plug-ins that speak of `NetworkDriver`. */
export class RemoteDriver implements NetworkDriver {
  readonly name: string;
  readonly #deps: RemoteDeps;
  #scope: "local" | "global" = "local";

  constructor(name: string, deps: RemoteDeps) {
    this.name = name;
    this.#deps = deps;
  }

  get scope(): "local" | "global" {
    return this.#scope;
  }

  /** Looks the plug-in up. @throws notFound in docker's words */
  async check(): Promise<void> {
    const plugin = await this.#deps.plugin(this.name);
    const { Scope } = await plugin.call("NetworkDriver.GetCapabilities", {});
    this.#scope = Scope === "global" ? "global" : "local";
  }

  async open(config: NetworkConfig, { isNew }: { readonly isNew: boolean }): Promise<DriverNetwork> {
    if (isNew) {
      const plugin = await this.#deps.plugin(this.name);
      await plugin.call("NetworkDriver.CreateNetwork", {
        NetworkID: config.id,
        Options: {
          "com.docker.network.enable_ipv4": config.hasIpv4,
          "com.docker.network.enable_ipv6": config.hasIpv6,
          "com.docker.network.generic": config.options,
          ...(config.isInternal && { "com.docker.network.internal": true }),
        },
        IPv4Data: poolsOf(config, 4),
        IPv6Data: poolsOf(config, 6),
      });
    }
    return new RemoteNetwork(config, this.#deps, () => this.#deps.plugin(this.name));
  }
}

function poolsOf(config: NetworkConfig, family: Family): Readonly<Record<string, unknown>>[] {
  if (config.ipamDriver === "null") {
    const Pool = ANY_SUBNET[family];
    return familiesOf(config).includes(family) ? [{ AddressSpace: "null", Pool, Gateway: "", AuxAddresses: {} }] : [];
  }
  return config.pools
    .filter(({ subnet }) => subnet.includes(":") === (family === 6))
    .map(({ subnet, gateway, auxAddresses = {}, addressSpace = "LocalDefault" }: IpamPool) => {
      const { length } = parsePrefix(subnet);
      const withLength = (address: string): string => `${address}/${length}`;
      return {
        AddressSpace: addressSpace,
        Pool: subnet,
        Gateway: gateway ? withLength(gateway) : "",
        AuxAddresses: Object.fromEntries(Object.entries(auxAddresses).map(([name, address]) => [name, withLength(address)])),
      };
    });
}

class RemoteNetwork implements DriverNetwork {
  readonly addresses: LocalAddresses;
  readonly publishesPorts = false;
  readonly #config: NetworkConfig;
  readonly #deps: RemoteDeps;
  readonly #plugin: () => Promise<Plugin>;
  /** What the plug-in said last is the way out; undefined: nothing yet. */
  readonly #gateways: Record<Family, string | undefined> = { 4: undefined, 6: undefined };
  /** Names that the interfaces of endpoints had on the host: they go back by them. */
  readonly #sources = new Map<string, string>();

  constructor(config: NetworkConfig, deps: RemoteDeps, plugin: () => Promise<Plugin>) {
    this.#config = config;
    this.#deps = deps;
    this.#plugin = plugin;
    this.addresses = new LocalAddresses(config.pools, { reclaim: deps.reclaim, network: config });
  }

  gateway(family: Family): string | undefined {
    if (this.#config.isInternal) return undefined;
    const pool = this.#config.pools.find(({ subnet }) => subnet.includes(":") === (family === 6));
    return this.#gateways[family] ?? (pool?.gateway || undefined);
  }

  async plug(request: PlugRequest): Promise<Plugged> {
    const plugin = await this.#plugin();
    const ids = { NetworkID: this.#config.id, EndpointID: request.endpointId };
    const { addresses, options, mac } = request;
    const { Interface: made } = (await plugin.call("NetworkDriver.CreateEndpoint", {
      ...ids,
      Interface: { Address: cidrOf(addresses[4]), AddressIPv6: cidrOf(addresses[6]), MacAddress: mac === undefined ? "" : formatMac(mac) },
      Options: options,
    })) as { readonly Interface?: Interface | null };
    try {
      const joined = (await plugin.call("NetworkDriver.Join", {
        ...ids,
        SandboxKey: `/proc/${process.pid}/fd/${request.netns.fd}`,
        Options: options,
      })) as Joined;
      try {
        return this.#moveIn(request, joined, made?.MacAddress ?? "");
      } catch (error) {
        await this.#tell(plugin, "Leave", ids);
        throw error;
      }
    } catch (error) {
      await this.#tell(plugin, "DeleteEndpoint", ids);
      throw error;
    }
  }

  /** Moves the interface that the plug-in has made into the sandbox, by its name there, addressed and up. */
  #moveIn({ netns, endpointId, interfaceName, addresses, mac }: PlugRequest, joined: Joined, plugInsMac: string): Plugged {
    const { home, route } = this.#deps;
    const source = joined.InterfaceName?.SrcName ?? "";
    const link = source === "" ? undefined : findLink(route, source);
    if (link === undefined) {
      throw new DhowError(
        "internal",
        `NetworkDriver.Join: the plugin names an interface that is not on the host: ${JSON.stringify(source)}`,
      );
    }
    route.request(setLink(link.index, { up: false }), setLink(link.index, { netnsFd: netns.fd }));
    this.#sources.set(endpointId, source);
    this.#gateways[4] = joined.Gateway || undefined;
    this.#gateways[6] = joined.GatewayIPv6 || undefined;
    const wanted = mac ?? (plugInsMac === "" ? undefined : parseMac(plugInsMac));
    return insideNetns(home, netns.fd, () => {
      using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
      const index = findLink(inside, source)?.index ?? 0;
      inside.request(setLink(index, { name: interfaceName, ...(wanted && { mac: wanted }) }));
      setIpv6(interfaceName, addresses[6] !== undefined);
      const own = [addresses[4], addresses[6]].flatMap((a) =>
        a === undefined ? [] : addIpAddress(index, ipBytes(parseIp(a.address)), a.prefixLength),
      );
      inside.request(...own, setLink(index, { up: true }), ...routesOf(joined, index));
      return { mac: findLink(inside, interfaceName)?.mac ?? "" };
    });
  }

  async unplug(
    endpoint: PluggedEndpoint,
    { isSandboxGone, netns }: { readonly isSandboxGone: boolean; readonly netns: Fd | undefined },
  ): Promise<void> {
    for (const a of [endpoint.addresses[4], endpoint.addresses[6]]) if (a !== undefined) this.addresses.free(parseIp(a.address));
    const ids = { NetworkID: this.#config.id, EndpointID: endpoint.endpointId };
    if (!isSandboxGone && netns !== undefined) this.#moveBack(endpoint, netns);
    this.#sources.delete(endpoint.endpointId);
    const plugin = await this.#plugin();
    await this.#tell(plugin, "Leave", ids);
    await this.#tell(plugin, "DeleteEndpoint", ids);
  }

  /** The interface is the plug-in's: it comes back to the host by the name that it had there. */
  #moveBack({ endpointId, interfaceName }: PluggedEndpoint, netns: Fd): void {
    const name = this.#sources.get(endpointId) ?? interfaceName;
    insideNetns(this.#deps.home, netns.fd, () => {
      using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
      const link = findLink(inside, interfaceName);
      if (link === undefined) return;
      inside.request(setLink(link.index, { up: false, name }), setLink(link.index, { netnsFd: this.#deps.home.fd }));
    });
  }

  async #tell(
    plugin: Plugin,
    what: "Leave" | "DeleteEndpoint",
    ids: { readonly NetworkID: string; readonly EndpointID: string },
  ): Promise<void> {
    try {
      await plugin.call(`NetworkDriver.${what}`, ids);
    } catch (error) {
      this.#deps.log.warn("a network plugin could not be told that an endpoint goes", {
        plugin: plugin.name,
        endpoint: ids.EndpointID,
        what,
        error,
      });
    }
  }

  adopt({ addresses }: PluggedEndpoint): void {
    for (const a of [addresses[4], addresses[6]]) if (a !== undefined) this.addresses.mark(parseIp(a.address));
  }

  close(): void {}

  async remove(): Promise<Removal> {
    const plugin = await this.#plugin();
    await plugin.call("NetworkDriver.DeleteNetwork", { NetworkID: this.#config.id });
    return "removed";
  }
}

function cidrOf(address: InterfaceAddress | undefined): string {
  return address === undefined ? "" : `${address.address}/${address.prefixLength}`;
}

/** RouteType 0 goes over a next hop, 1 is on the link. */
function routesOf({ StaticRoutes }: Joined, index: number): ReturnType<typeof addRoute>[] {
  return (StaticRoutes ?? []).map(({ Destination = "", NextHop = "" }) => {
    const { family, network, length } = parsePrefix(Destination);
    const destination = { address: ipBytes({ family, value: network }), prefixLength: length };
    return addRoute({ family, destination, index, ...(NextHop !== "" && { gateway: ipBytes(parseIp(NextHop)) }) });
  });
}
