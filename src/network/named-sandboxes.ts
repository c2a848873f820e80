import type { SandboxDns, SandboxDnsOptions, Upstream } from "./dns/types.ts";
import type { Egress } from "./egress/egress.ts";
import type { Held } from "./held.ts";
import type { Names } from "./names.ts";
import { addressesOf, gatewayEndpoint, type HeldEndpoint } from "./sandbox.ts";

export interface NamedSandboxesDeps {
  readonly names: Names;
  readonly egress: Pick<Egress, "dnsOptions">;
  /** The default bridge: the one network that has no names. */
  readonly defaultBridge: () => { readonly id: string } | undefined;
  /** What the daemon was told that the host is called by; empty: the gateway. */
  readonly hostGatewayIps: readonly string[];
  /** The host's name servers. */
  readonly hostServers: () => readonly string[];
  /** Serves names in a sandbox. */
  readonly serveNames: (options: SandboxDnsOptions) => SandboxDns;
}

/** The names that containers know each other by, and the name server in each of their sandboxes. */
export class NamedSandboxes {
  readonly #deps: NamedSandboxesDeps;

  constructor(deps: NamedSandboxesDeps) {
    this.#deps = deps;
  }

  #isNamed({ network }: HeldEndpoint): boolean {
    return network.config.id !== this.#deps.defaultBridge()?.id;
  }

  /** Makes a container known by its names, on all its networks; again after they changed. */
  add({ containerId, endpoints }: Held): void {
    for (const endpoint of endpoints) {
      if (!this.#isNamed(endpoint)) continue;
      this.#deps.names.add(endpoint.network.config.id, { containerId, names: endpoint.wish.names, addresses: addressesOf(endpoint) });
    }
  }

  /** Whether a container asks the daemon for names: on a network with names, and under a policy, which goes by them. */
  asks({ endpoints, egress }: Held): boolean {
    return endpoints.some((endpoint) => this.#isNamed(endpoint)) || (egress !== undefined && endpoints.length > 0);
  }

  /** Serves names in a sandbox that is to have them. */
  serve(held: Held): void {
    if (!this.asks(held) || held.netns === undefined || held.dns !== undefined) return;
    const named = () => held.endpoints.filter((endpoint) => this.#isNamed(endpoint));
    held.dns = this.#deps.serveNames({
      netns: held.netns,
      names: this.#deps.names.source({
        networks: () =>
          named().map(({ network }) => ({
            id: network.config.id,
            name: network.config.name,
            remote: () => network.on.remoteEndpoints?.() ?? [],
          })),
        host: () => this.#hostAddresses(held),
        links: (id) => named().find(({ network }) => network.config.id === id)?.wish.links ?? {},
      }),
      upstreams: () => this.#upstreams(held),
      keepsSingleLabels: () => held.dnsWish.keepsSingleLabels,
      ...(held.egress !== undefined && this.#deps.egress.dnsOptions(held.containerId)),
    });
  }

  /** The host is where the default routes lead, unless the daemon was told otherwise. */
  #hostAddresses({ endpoints }: Held): readonly string[] {
    const gateways = ([4, 6] as const).flatMap((family) => {
      const on = gatewayEndpoint(endpoints, family)?.network.on;
      return on?.hostAddress?.(family) || on?.gateway(family) || [];
    });
    const told = this.#deps.hostGatewayIps;
    return gateways.length === 0 || told.length === 0 ? gateways : told;
  }

  /** Internal networks lead nowhere: neither do their names. */
  #upstreams({ endpoints, dnsWish, egress }: Held): readonly Upstream[] {
    const hasWayOut = gatewayEndpoint(endpoints) !== undefined;
    // its policy keeps a container from the servers that are asked for it
    const isFromHost = egress !== undefined;
    if (dnsWish.servers.length > 0) return hasWayOut ? dnsWish.servers.map((address) => ({ address, isFromHost })) : [];
    return hasWayOut ? this.#deps.hostServers().map((address) => ({ address, isFromHost: true })) : [];
  }

  /** Forgets the names that a container has on one network. */
  leave(networkId: string, containerId: string): void {
    this.#deps.names.remove(networkId, containerId);
  }

  /** Forgets all names of a container. */
  remove({ containerId, endpoints }: Held): void {
    for (const { network } of endpoints) this.leave(network.config.id, containerId);
  }
}
