import type { NameSource } from "./dns/types.ts";
import type { RemoteEndpoint } from "./drivers/driver.ts";
import { tryIpBytes } from "./ip.ts";

/** A container on a network, by the names that the others there know it by. */
export interface NamedEndpoint {
  readonly containerId: string;
  /** Its name first; then aliases, short id, host name. */
  readonly names: readonly string[];
  /** IPv4 and IPv6, as text. */
  readonly addresses: readonly string[];
}

/** A network as a sandbox on it sees it. */
export interface NamedNetwork {
  readonly id: string;
  readonly name: string;
  /** Of other hosts. */
  readonly remote: () => readonly RemoteEndpoint[];
}

/** What a sandbox looks names up in. */
export interface NameScope {
  /** Addresses by which it reaches the host; none: not at all. */
  readonly host: () => readonly string[];
  /** The networks it is on, in the order in which they are asked. */
  readonly networks: () => readonly NamedNetwork[];
  /** Names that only this container has for others (`--link`): alias → container id or name, by network id. */
  readonly links: (networkId: string) => Readonly<Record<string, string>>;
}

/** Addresses as an answer has them, by family. */
type AddressBytes = Readonly<Record<4 | 6, readonly Uint8Array[]>>;

interface Known {
  readonly endpoint: NamedEndpoint;
  readonly addresses: AddressBytes;
}

interface NetworkNames {
  readonly byName: Map<string, Known[]>;
  readonly byContainer: Map<string, Known>;
  readonly byAddress: Map<string, NamedEndpoint>;
}

/** What Docker Desktop calls the host. */
const HOST_NAMES: ReadonlySet<string> = new Set(["host.docker.internal", "gateway.docker.internal"]);

const key = (address: Uint8Array): string => address.join(".");

/** The names of all containers on all networks, right at every moment: an endpoint is in it from its plugging in to its unplugging. */
export class Names {
  readonly #networks = new Map<string, NetworkNames>();

  /** Takes an endpoint in; one that the container had on that network is replaced. */
  add(networkId: string, endpoint: NamedEndpoint): void {
    this.remove(networkId, endpoint.containerId);
    const names = this.#networks.get(networkId) ?? { byName: new Map(), byContainer: new Map(), byAddress: new Map() };
    this.#networks.set(networkId, names);
    // parsed once, not at every query
    const known: Known = { endpoint, addresses: bytesOf(endpoint.addresses) };
    names.byContainer.set(endpoint.containerId, known);
    for (const name of new Set(endpoint.names.map((n) => n.toLowerCase()))) {
      names.byName.set(name, [...(names.byName.get(name) ?? []), known]);
    }
    for (const bytes of [...known.addresses[4], ...known.addresses[6]]) names.byAddress.set(key(bytes), endpoint);
  }

  /** Takes an endpoint out; none: nothing. */
  remove(networkId: string, containerId: string): void {
    const names = this.#networks.get(networkId);
    const known = names?.byContainer.get(containerId);
    if (names === undefined || known === undefined) return;
    const { endpoint } = known;
    names.byContainer.delete(containerId);
    for (const name of endpoint.names.map((n) => n.toLowerCase())) {
      const rest = names.byName.get(name)?.filter((k) => k !== known) ?? [];
      if (rest.length > 0) names.byName.set(name, rest);
      else names.byName.delete(name);
    }
    for (const [address, owner] of names.byAddress) if (owner === endpoint) names.byAddress.delete(address);
    if (names.byContainer.size === 0) this.#networks.delete(networkId);
  }

  /** The names as one sandbox sees them. */
  source(scope: NameScope): NameSource {
    return {
      lookup: (name, family) => {
        for (const network of scope.networks()) {
          const found = this.#addressesOf(network, scope.links(network.id), name) ?? this.#qualified(network, name);
          if (found !== undefined) return found[family];
        }
        const host = HOST_NAMES.has(name) ? scope.host() : [];
        return host.length > 0 ? bytesOf(host)[family] : undefined;
      },
      reverse: (address) => {
        for (const network of scope.networks()) {
          const name = this.#nameOf(network, address);
          if (name !== undefined) return `${name}.${network.name}`;
        }
        return undefined;
      },
    };
  }

  /** `web.mynet` is `web` of the network mynet. */
  #qualified(network: NamedNetwork, name: string): AddressBytes | undefined {
    if (!name.includes(".")) return undefined;
    const suffix = `.${network.name.toLowerCase()}`;
    return name.endsWith(suffix) ? this.#addressesOf(network, {}, name.slice(0, -suffix.length)) : undefined;
  }

  #addressesOf(network: NamedNetwork, links: Readonly<Record<string, string>>, name: string): AddressBytes | undefined {
    const names = this.#networks.get(network.id);
    const target = links[name] ?? "";
    const linked = names?.byContainer.get(target) ?? names?.byName.get(target.toLowerCase())?.[0];
    if (linked !== undefined) return linked.addresses;
    const local = names?.byName.get(name) ?? [];
    const remote = network.remote();
    // nearly every query: nothing is made for it
    if (remote.length === 0 && local.length < 2) return local[0]?.addresses;
    const others = remote.filter((endpoint) => endpoint.names.some((n) => n.toLowerCase() === name));
    const all = [...local.map(({ addresses }) => addresses), ...others.map(({ addresses }) => bytesOf(addresses))];
    if (all.length === 0) return undefined;
    return { 4: all.flatMap((addresses) => addresses[4]), 6: all.flatMap((addresses) => addresses[6]) };
  }

  #nameOf(network: NamedNetwork, address: Uint8Array): string | undefined {
    const local = this.#networks.get(network.id)?.byAddress.get(key(address));
    if (local !== undefined) return local.names[0];
    const remote = network
      .remote()
      .find(({ addresses }) => addresses.some((text) => key(tryIpBytes(text) ?? new Uint8Array()) === key(address)));
    return remote?.names[0];
  }
}

function bytesOf(addresses: readonly string[]): AddressBytes {
  const all = addresses.flatMap((address) => tryIpBytes(address) ?? []);
  return { 4: all.filter(({ length }) => length === 4), 6: all.filter(({ length }) => length === 16) };
}
