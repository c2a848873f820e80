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
  /** Names that only this container has for others (`--link`): alias → container id, by network id. */
  readonly links: (networkId: string) => Readonly<Record<string, string>>;
}

interface NetworkNames {
  readonly byName: Map<string, NamedEndpoint[]>;
  readonly byContainer: Map<string, NamedEndpoint>;
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
    names.byContainer.set(endpoint.containerId, endpoint);
    for (const name of new Set(endpoint.names.map((n) => n.toLowerCase()))) {
      names.byName.set(name, [...(names.byName.get(name) ?? []), endpoint]);
    }
    for (const address of endpoint.addresses) {
      const bytes = tryIpBytes(address);
      if (bytes !== undefined) names.byAddress.set(key(bytes), endpoint);
    }
  }

  /** Takes an endpoint out; none: nothing. */
  remove(networkId: string, containerId: string): void {
    const names = this.#networks.get(networkId);
    const endpoint = names?.byContainer.get(containerId);
    if (names === undefined || endpoint === undefined) return;
    names.byContainer.delete(containerId);
    for (const name of endpoint.names.map((n) => n.toLowerCase())) {
      const rest = names.byName.get(name)?.filter((e) => e !== endpoint) ?? [];
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
          if (found !== undefined) return bytesOf(found, family);
        }
        const host = HOST_NAMES.has(name) ? scope.host() : [];
        return host.length > 0 ? bytesOf(host, family) : undefined;
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
  #qualified(network: NamedNetwork, name: string): readonly string[] | undefined {
    const suffix = `.${network.name.toLowerCase()}`;
    return name.endsWith(suffix) ? this.#addressesOf(network, {}, name.slice(0, -suffix.length)) : undefined;
  }

  #addressesOf(network: NamedNetwork, links: Readonly<Record<string, string>>, name: string): readonly string[] | undefined {
    const names = this.#networks.get(network.id);
    const linked = names?.byContainer.get(links[name] ?? "");
    if (linked !== undefined) return linked.addresses;
    const remote = network.remote().filter((endpoint) => endpoint.names.some((n) => n.toLowerCase() === name));
    const all = [...(names?.byName.get(name) ?? []), ...remote];
    return all.length === 0 ? undefined : all.flatMap(({ addresses }) => addresses);
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

function bytesOf(addresses: readonly string[], family: 4 | 6): Uint8Array[] {
  const size = family === 4 ? 4 : 16;
  return addresses.flatMap((address) => {
    const bytes = tryIpBytes(address);
    return bytes?.length === size ? bytes : [];
  });
}
