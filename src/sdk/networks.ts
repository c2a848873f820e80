import { isKind } from "../lib/mod.ts";
import type { NetworkInspect, NetworkSummary } from "../spec/engine/mod.ts";
import type { EngineAccess, SignalOption } from "./access.ts";
import { type FilterOptions, filtersOf } from "./filters.ts";

/** A subnet of a network to be. */
export interface SubnetOptions {
  /** `10.5.0.0/16` */
  readonly subnet: string;
  /** What containers get addresses of without asking for one. */
  readonly ipRange?: string | undefined;
  readonly gateway?: string | undefined;
}

/** How to make a network. */
export interface NetworkOptions extends SignalOption {
  readonly name: string;
  /** `bridge` when left out. */
  readonly driver?: string | undefined;
  readonly driverOpts?: Readonly<Record<string, string>> | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
  /** Without a way out. */
  readonly internal?: boolean | undefined;
  readonly ipv6?: boolean | undefined;
  /** The engine's choice when left out. */
  readonly subnets?: readonly SubnetOptions[] | undefined;
}

/** How to connect a container to a network. */
export interface NetworkConnectOptions extends SignalOption {
  /** Names that the others on the network know it by. */
  readonly aliases?: readonly string[] | undefined;
  readonly ipv4?: string | undefined;
  readonly ipv6?: string | undefined;
  /** The network with the highest one leads out. */
  readonly gatewayPriority?: number | undefined;
}

/** A container, or its name or id. */
type ContainerRef = string | { readonly id: string };

/** A network. Held with `await using` it is removed; the containers on it must be gone by then. */
export class Network implements AsyncDisposable {
  readonly id: string;
  readonly name: string;
  readonly #access: EngineAccess;

  constructor(access: EngineAccess, { id, name }: { readonly id: string; readonly name: string }) {
    this.#access = access;
    this.id = id;
    this.name = name;
  }

  async inspect({ signal }: SignalOption = {}): Promise<NetworkInspect> {
    return this.#access.within(signal).networks.inspect(this.id, { verbose: false });
  }

  /** Connects a container, at once when it runs. @throws forbidden when it is connected already, notFound */
  async connect(container: ContainerRef, { aliases, ipv4, ipv6, gatewayPriority, signal }: NetworkConnectOptions = {}): Promise<void> {
    await this.#access.within(signal).networks.connect(this.id, {
      Container: idOf(container),
      EndpointConfig: {
        IPAMConfig: { ...(ipv4 !== undefined && { IPv4Address: ipv4 }), ...(ipv6 !== undefined && { IPv6Address: ipv6 }) },
        Aliases: aliases ?? [],
        GwPriority: gatewayPriority ?? 0,
      },
    });
  }

  /** @throws forbidden when it is not connected, notFound */
  async disconnect(container: ContainerRef, { signal }: SignalOption = {}): Promise<void> {
    await this.#access.within(signal).networks.disconnect(this.id, { Container: idOf(container) });
  }

  /** @throws forbidden while a container is on it */
  async remove({ signal }: SignalOption = {}): Promise<void> {
    await this.#access.within(signal).networks.remove(this.id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.remove();
    } catch (error) {
      if (!isKind(error, "notFound")) throw error;
    }
  }
}

function idOf(container: ContainerRef): string {
  return typeof container === "string" ? container : container.id;
}

/** The networks of an engine. */
export class Networks {
  readonly #access: EngineAccess;

  constructor(access: EngineAccess) {
    this.#access = access;
  }

  /** @throws conflict when the name is taken, invalid */
  async create(options: NetworkOptions): Promise<Network> {
    const { name, driver, driverOpts, labels, internal, ipv6, subnets, signal } = options;
    const { Id } = await this.#access.within(signal).networks.create({
      Name: name,
      Driver: driver ?? "bridge",
      Options: driverOpts ?? {},
      Labels: labels ?? {},
      Internal: internal ?? false,
      ...(ipv6 !== undefined && { EnableIPv6: ipv6 }),
      IPAM: {
        Driver: "default",
        Config: (subnets ?? []).map(({ subnet, ipRange, gateway }) => ({ Subnet: subnet, IPRange: ipRange, Gateway: gateway })),
      },
    });
    return new Network(this.#access, { id: Id ?? "", name });
  }

  /** By name or id. @throws notFound */
  async get(ref: string, { signal }: SignalOption = {}): Promise<Network> {
    const { Id = "", Name = "" } = await this.#access.within(signal).networks.inspect(ref, { verbose: false });
    return new Network(this.#access, { id: Id, name: Name });
  }

  async list({ filters, signal }: FilterOptions = {}): Promise<readonly NetworkSummary[]> {
    return this.#access.within(signal).networks.list(filtersOf(filters));
  }

  /** @throws notFound */
  async inspect(ref: string, { signal }: SignalOption = {}): Promise<NetworkInspect> {
    return this.#access.within(signal).networks.inspect(ref, { verbose: false });
  }

  /** Removes those that no container uses. */
  async prune({ filters, signal }: FilterOptions = {}): Promise<{ readonly removed: readonly string[] }> {
    return { removed: (await this.#access.within(signal).networks.prune(filtersOf(filters))).NetworksDeleted ?? [] };
  }
}
