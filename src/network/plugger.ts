import { writeFileSync } from "node:fs";
import { DhowError, errorMessage, randomId } from "../lib/mod.ts";
import { addIpAddress, type Fd, findLink, insideNetns, NETLINK, NetlinkSocket } from "../linux/mod.ts";
import type { EndpointsTable } from "../metadata/mod.ts";
import { ENDPOINT_SYSCTLS } from "../spec/engine/mod.ts";
import { applyConditions } from "./conditions.ts";
import type { InterfaceAddress, Plugged, PluggedEndpoint, PlugRequest } from "./drivers/driver.ts";
import type { Egress } from "./egress/egress.ts";
import { checkPoliced, endpointSysctls, isInterfaceName, placeOf } from "./endpoint-forms.ts";
import { isFoundAfterCrash } from "./half-plugged.ts";
import type { Held } from "./held.ts";
import { type Family, formatIp, ipBytes, parseIp } from "./ip.ts";
import { parseMac } from "./mac.ts";
import { familiesOf } from "./network-config.ts";
import type { OpenNetwork } from "./networks.ts";
import { type EndpointWish, gatewayEndpoint, type HeldEndpoint } from "./sandbox.ts";

export interface PluggerDeps {
  readonly home: Fd;
  readonly egress: Pick<Egress, "add" | "prepare">;
  readonly table: EndpointsTable;
  /** The network of an id. @throws notFound */
  readonly network: (id: string) => OpenNetwork;
  /** The default bridge: the way out of networks that have none. */
  readonly defaultBridge: () => { readonly id: string } | undefined;
}

const NO_ADDRESSES: Readonly<Record<Family, InterfaceAddress | undefined>> = { 4: undefined, 6: undefined };

/** Makes endpoints and takes them away: their addresses, their interface in the sandbox, and what is asked of that. */
export class Plugger {
  readonly #deps: PluggerDeps;

  constructor(deps: PluggerDeps) {
    this.#deps = deps;
  }

  /** Holds a container to its policy on a network, before anything of it passes there. @throws invalid on one where nothing can hold it */
  police({ containerId, egress }: Held, network: OpenNetwork, plugged: Pick<PluggedEndpoint, "hostInterface" | "mac" | "addresses">): void {
    if (egress === undefined) return;
    this.#deps.egress.add(containerId, egress, placeOf(network, plugged));
  }

  /** Makes an interface as slow and lossy as the container's are to be; one that nobody asked anything of is left alone. */
  condition({ netns, conditions }: Held, { interfaceName, plugged }: HeldEndpoint): void {
    if (conditions === undefined || netns === undefined) return;
    applyConditions({ home: this.#deps.home, netns, interfaceName, hostInterface: plugged.hostInterface }, conditions);
  }

  /** Makes an endpoint of a sandbox. Nothing is left when it fails. @throws conflict, invalid, notFound in docker's words */
  async plug(held: Held, wish: EndpointWish, { index }: { readonly index: number }): Promise<HeldEndpoint> {
    const { containerId, netns } = held;
    if (netns === undefined) throw new DhowError("conflict", `connect container ${containerId}: its network namespace is not at hand`);
    const network = this.#deps.network(wish.networkId);
    checkPoliced(held.egress, network);
    if (held.egress !== undefined) this.#deps.egress.prepare();
    network.busy++;
    try {
      const mac = wish.mac ? parseMac(wish.mac) : await network.on.addresses?.chooseMac?.();
      const addresses = await this.#takeAddresses(network, wish, mac);
      const endpoint = await this.#plugAddressed(held, { network, wish, addresses, mac, index });
      try {
        this.#finishInterface(held, endpoint);
        this.condition(held, endpoint);
      } catch (error) {
        await network.on.unplug(endpoint.plugged, { isSandboxGone: false, netns });
        throw error;
      }
      return endpoint;
    } finally {
      network.busy--;
    }
  }

  /** Plugs in what has its addresses; they are free again when that fails. */
  async #plugAddressed(
    held: Held,
    { network, wish, addresses, mac, index }: Pick<HeldEndpoint, "network" | "wish"> & Pick<PlugRequest, "addresses" | "mac" | "index">,
  ): Promise<HeldEndpoint> {
    const { containerId, netns } = held;
    try {
      if (netns === undefined) throw new DhowError("conflict", `connect container ${containerId}: its network namespace is not at hand`);
      const options = wish.options ?? {};
      const interfaceName = this.#interfaceName(held, network, options);
      const endpointId = randomId();
      const request = {
        ...{ containerId, endpointId, netns, interfaceName, index, addresses, mac, names: wish.names, options },
        beforeUp: (made: Plugged) => this.police(held, network, { ...made, addresses }),
      };
      if (!isFoundAfterCrash(network.on)) this.#deps.table.notePlugging(containerId, interfaceName);
      const made = network.on.plug(request);
      const plugged: Plugged = made instanceof Promise ? await made : made;
      return { network, wish, interfaceName, plugged: { ...plugged, containerId, endpointId, interfaceName, addresses } };
    } catch (error) {
      for (const a of [addresses[4], addresses[6]]) if (a !== undefined) await network.on.addresses?.free(parseIp(a.address));
      this.#deps.table.forgetPlugging(containerId);
      throw error;
    }
  }

  async #takeAddresses(
    { config, on }: OpenNetwork,
    wish: EndpointWish,
    mac: Uint8Array | undefined,
  ): Promise<Readonly<Record<Family, InterfaceAddress | undefined>>> {
    const source = on.addresses;
    if (source === undefined || config.ipamDriver === "null") return NO_ADDRESSES;
    const taken: Record<Family, InterfaceAddress | undefined> = { 4: undefined, 6: undefined };
    try {
      for (const family of familiesOf(config)) {
        if (family === 6 && wish.isWithoutIpv6) continue;
        const got = source.take(family, (family === 4 ? wish.ipv4 : wish.ipv6) || undefined, mac);
        const { ip, prefixLength } = got instanceof Promise ? await got : got;
        taken[family] = { address: formatIp(ip), prefixLength };
      }
      return taken;
    } catch (error) {
      for (const a of [taken[4], taken[6]]) if (a !== undefined) await source.free(parseIp(a.address));
      throw error;
    }
  }

  #interfaceName(held: Held, network: OpenNetwork, options: Readonly<Record<string, string>>): string {
    const wanted = options["com.docker.network.endpoint.ifname"];
    const taken = new Set(held.endpoints.map((e) => e.interfaceName));
    if (wanted !== undefined && wanted !== "") {
      if (!isInterfaceName(wanted)) throw new DhowError("invalid", `invalid interface name ${JSON.stringify(wanted)}`);
      if (taken.has(wanted) || wanted === "lo")
        throw new DhowError("conflict", `interface name ${JSON.stringify(wanted)} is in use in this container`);
      return wanted;
    }
    const prefix = network.config.options["com.docker.network.container_iface_prefix"] || "eth";
    for (let n = 0; ; n++) if (!taken.has(`${prefix}${n}`)) return `${prefix}${n}`;
  }

  /** What an endpoint's own settings ask of its interface. */
  #finishInterface({ netns }: Held, { wish, interfaceName }: HeldEndpoint): void {
    const more = wish.linkLocalIps ?? [];
    const sysctls = endpointSysctls(wish.options?.[ENDPOINT_SYSCTLS] ?? "", interfaceName);
    if ((more.length === 0 && sysctls.length === 0) || netns === undefined) return;
    insideNetns(this.#deps.home, netns.fd, () => {
      using inside = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
      const index = findLink(inside, interfaceName)?.index ?? 0;
      if (more.length > 0) inside.request(...more.map((text) => addIpAddress(index, ipBytes(parseIp(text)), text.includes(":") ? 64 : 16)));
      for (const { path, value } of sysctls) {
        try {
          writeFileSync(path, value);
        } catch (cause) {
          throw new DhowError("invalid", `failed to set sysctl: ${path}=${value}: ${errorMessage(cause)}`, { cause });
        }
      }
    });
  }

  /** Takes an endpoint out of a sandbox. The row goes first: what a kill leaves plugged in is unplugged at the next start. */
  async unplug({ containerId, netns }: Held, { network, plugged }: HeldEndpoint): Promise<void> {
    const { table } = this.#deps;
    if (!isFoundAfterCrash(network.on)) table.notePlugging(containerId, plugged.interfaceName);
    table.removeEndpoint(containerId, network.config.id);
    await network.on.unplug(plugged, { isSandboxGone: false, netns });
    if (!isFoundAfterCrash(network.on)) table.forgetPlugging(containerId);
  }

  /**
   * Gives a container a way out, a second interface on the default bridge, when it is on a network that leads nowhere else and is to, and
   * on none that does; takes it away when that is no longer so.
   */
  async settleOutside(held: Held): Promise<void> {
    const asked = held.endpoints.filter(({ wish }) => !wish.isOutside);
    const outside = held.endpoints.find(({ wish }) => wish.isOutside);
    const bridge = this.#deps.defaultBridge();
    const isWanted = bridge !== undefined && asked.some(({ network }) => network.on.needsOutside) && gatewayEndpoint(asked) === undefined;
    if (isWanted && outside === undefined) {
      const endpoint = await this.plug(held, { networkId: bridge.id, names: [], isOutside: true }, { index: 0 });
      held.endpoints = [...asked, endpoint];
    } else if (!isWanted && outside !== undefined) await this.unplugOutside(held, outside);
  }

  async unplugOutside(held: Held, outside: HeldEndpoint): Promise<void> {
    held.endpoints = held.endpoints.filter((e) => e !== outside);
    await this.unplug(held, outside);
  }
}
