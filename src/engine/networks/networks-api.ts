import { DhowError, filterTest, isKind, type JsonUint, parseTime, saturatedUint64 } from "../../lib/mod.ts";
import {
  ANY_SUBNET,
  type NetworkFacts,
  type Networking,
  type NetworkWish,
  type PoolRequest,
  type SandboxEndpoint,
} from "../../network/mod.ts";
import type {
  EndpointResource,
  EndpointSettings,
  Filters,
  IPAM,
  IPAMConfig,
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkCreateResponse,
  NetworkDisconnectRequest,
  NetworkInspect,
  NetworkSummary,
  NetworksApi,
} from "../../spec/engine/mod.ts";
import type { Emit } from "../events.ts";
import { labelsMatch, untilFilter } from "../images/filters.ts";

export interface NetworksApiDeps {
  readonly networking: Networking;
  /** A container's name without the slash; undefined when there is no such container. */
  readonly containerName: (containerId: string) => string | undefined;
  /** Ids of running containers that are on the host's network or on none, by that network's name. */
  readonly containersOn: (network: "host" | "none") => readonly string[];
  readonly connect: (container: string, network: NetworkFacts, settings: EndpointSettings) => Promise<void>;
  readonly disconnect: (container: string, network: NetworkFacts) => Promise<void>;
  /** The same from a network that is not there any more; `refusal` says so. */
  readonly disconnectFromGone: (
    container: string,
    name: string,
    how: { readonly isForced: boolean; readonly refusal: unknown },
  ) => Promise<void>;
  /** Looks at the labels of a network to be: their owner has to be there. @throws invalid */
  readonly checkLabels: (labels: Readonly<Record<string, string>>) => void;
  readonly emit: Emit;
}

/** A network with the containers on it: what docker answers and the API's schema leaves out. */
export interface NetworkInspectFull extends NetworkInspect {
  readonly Containers: Readonly<Record<string, EndpointResource>>;
  /** From API 1.52 on, of networks with subnets. */
  readonly Status?: Status | undefined;
}

/** docker's NetworkStatus, with counts of 64 bits. */
interface Status {
  readonly IPAM: { readonly Subnets: Readonly<Record<string, { readonly IPsInUse: JsonUint; readonly DynamicIPsAvailable: JsonUint }>> };
}

const LIST_FILTERS = ["dangling", "driver", "id", "label", "name", "scope", "type"];
const PRUNE_FILTERS = ["label", "label!", "until"];

function refuse(message: string): never {
  throw new DhowError("invalid", message);
}

function checkKeys(filters: Filters, known: readonly string[]): void {
  for (const key of Object.keys(filters)) if (!known.includes(key)) refuse(`invalid filter '${key}'`);
}

const passes = (values: readonly string[] | undefined, test: (value: string) => boolean): boolean => !values?.length || values.some(test);

function danglingOf(filters: Filters): boolean | undefined {
  const [value, ...others] = filters["dangling"] ?? [];
  if (value === undefined) return undefined;
  if (others.length > 0) refuse('got more than one value for filter key "dangling"');
  if (value === "1" || value === "true") return true;
  if (value === "0" || value === "false") return false;
  return refuse(`invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`);
}

/** What a request asks for, with docker's defaults. */
function requestOf(request: NetworkCreateRequest): NetworkWish {
  const { Name, Driver = "", IPAM: ipam, Options, Labels, ConfigFrom } = request;
  if (request.Ingress) throw new DhowError("forbidden", "Ingress network can only be global scope network");
  if (request.Scope === "swarm") throw new DhowError("forbidden", "cannot create a swarm scoped network when swarm is not active");
  if (!SCOPES.has(request.Scope ?? "")) throw new DhowError("unavailable", SWARM);
  return {
    name: Name,
    driver: Driver === "" || Driver === "default" ? "bridge" : Driver,
    isInternal: request.Internal ?? false,
    isAttachable: request.Attachable ?? false,
    isConfigOnly: request.ConfigOnly ?? false,
    configFrom: ConfigFrom?.Network ?? "",
    hasIpv4: request.EnableIPv4 ?? undefined,
    hasIpv6: request.EnableIPv6 ?? undefined,
    ipamDriver: ipam?.Driver || "default",
    ipamOptions: ipam?.Options ?? null,
    pools: poolsOf(ipam),
    options: Options ?? {},
    labels: Labels ?? {},
  };
}

/** Scopes that a request may ask for, by which nothing changes here. */
const SCOPES: ReadonlySet<string> = new Set(["", "local"]);
const SWARM =
  'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.';

function poolsOf(ipam: IPAM | null | undefined): PoolRequest[] {
  return (ipam?.Config ?? []).map(({ Subnet, IPRange, Gateway, AuxiliaryAddresses }) => ({
    ...(Subnet && { subnet: Subnet }),
    ...(IPRange && { ipRange: IPRange }),
    ...(Gateway && { gateway: Gateway }),
    ...(AuxiliaryAddresses && { auxAddresses: AuxiliaryAddresses }),
  }));
}

/** Networks, for the front doors. */
export class NetworksService implements NetworksApi {
  readonly #deps: NetworksApiDeps;
  #isPruning = false;

  constructor(deps: NetworksApiDeps) {
    this.#deps = deps;
  }

  async create(request: NetworkCreateRequest): Promise<NetworkCreateResponse> {
    this.#deps.checkLabels(request.Labels ?? {});
    const config = await this.#deps.networking.createNetwork(requestOf(request));
    this.#event("create", config);
    return { Id: config.id, Warning: "" };
  }

  async list(filters: Filters): Promise<NetworkSummary[]> {
    checkKeys(filters, LIST_FILTERS);
    const all = this.#deps.networking.networks().filter((network) => this.#isListed(network, filters));
    return all.map(summary);
  }

  #isListed(network: NetworkFacts, filters: Filters): boolean {
    for (const type of filters["type"] ?? []) if (type !== "builtin" && type !== "custom") refuse(`invalid filter: 'type'='${type}'`);
    const dangling = danglingOf(filters);
    return (
      (!filters["name"]?.length || filterTest(filters["name"])(network.name)) &&
      passes(filters["id"], (v) => network.id.startsWith(v)) &&
      passes(filters["driver"], (v) => network.driver === v) &&
      passes(filters["scope"], (v) => v === network.scope) &&
      passes(filters["type"], (v) => (v === "builtin") === network.isPredefined) &&
      labelsMatch({ label: filters["label"] ?? [] }, network.labels) &&
      // docker never counts its own three networks as dangling
      (dangling === undefined || (!network.isPredefined && this.#isUsed(network) !== dangling))
    );
  }

  #isUsed({ id }: NetworkFacts): boolean {
    return this.#deps.networking.endpointsOn(id).length > 0;
  }

  async inspect(ref: string, options: { readonly verbose: boolean; readonly scope?: string | undefined }): Promise<NetworkInspectFull> {
    const network = this.#resolve(ref);
    if (options.scope && options.scope !== network.scope) throw new DhowError("notFound", `network ${ref} not found`);
    return { ...summary(network), Containers: this.#containers(network), ...this.#status(network) };
  }

  async remove(ref: string): Promise<void> {
    const network = this.#resolve(ref);
    await this.#deps.networking.removeNetwork(network.id);
    this.#destroyed(network);
  }

  async connect(ref: string, { Container = "", EndpointConfig }: NetworkConnectRequest): Promise<void> {
    await this.#deps.connect(Container, this.#resolve(ref), EndpointConfig ?? {});
  }

  async disconnect(ref: string, { Container = "", Force = false }: NetworkDisconnectRequest): Promise<void> {
    let network: NetworkFacts;
    try {
      network = this.#resolve(ref);
    } catch (refusal) {
      await this.#deps.disconnectFromGone(Container, ref, { isForced: Force, refusal });
      return;
    }
    try {
      await this.#deps.disconnect(Container, network);
    } catch (error) {
      // by force, docker looks for what a container that is gone may have left
      if (!Force || !isKind(error, "notFound")) throw error;
      throw new DhowError("notFound", `endpoint ${Container} not found`, { cause: error });
    }
  }

  /** Removes the networks that no running container is on; docker's own stay. */
  async prune(filters: Filters): Promise<{ readonly NetworksDeleted: string[] | null }> {
    checkKeys(filters, PRUNE_FILTERS);
    const until = untilFilter(filters);
    if (this.#isPruning) throw new DhowError("conflict", "a prune operation is already running");
    this.#isPruning = true;
    try {
      const deleted: string[] = [];
      for (const network of this.#deps.networking.networks()) {
        const isOld = until === undefined || (parseTime(network.createdAt) ?? 0n) <= until;
        if (network.isPredefined || !isOld || !labelsMatch(filters, network.labels) || this.#isUsed(network)) continue;
        if (await this.#tryRemove(network)) deleted.push(network.name);
      }
      this.#deps.emit({ type: "network", action: "prune", id: "", attributes: { reclaimed: "0" } });
      return { NetworksDeleted: deleted.length > 0 ? deleted : null };
    } finally {
      this.#isPruning = false;
    }
  }

  /** A network that a container takes at this moment stays. */
  async #tryRemove(network: NetworkFacts): Promise<boolean> {
    try {
      await this.#deps.networking.removeNetwork(network.id);
      this.#destroyed(network);
      return true;
    } catch (error) {
      if (error instanceof DhowError && (error.kind === "forbidden" || error.kind === "notFound")) return false;
      throw error;
    }
  }

  /** docker tells of the end of a configuration only where a network was. */
  #destroyed(network: NetworkFacts): void {
    if (!network.isConfigOnly) this.#event("destroy", network);
  }

  #event(action: string, { id, name, driver }: Pick<NetworkFacts, "id" | "name" | "driver">): void {
    this.#deps.emit({ type: "network", action, id, attributes: { name, type: driver } });
  }

  /** By id, else by name, else by a unique prefix of an id. @throws notFound, invalid when it is ambiguous */
  #resolve(ref: string): NetworkFacts {
    const all = this.#deps.networking.networks();
    const exact = all.find((n) => n.id === ref) ?? all.find((n) => n.name === ref);
    if (exact !== undefined) return exact;
    const byPrefix = ref === "" ? [] : all.filter((n) => n.id.startsWith(ref));
    if (byPrefix.length > 1)
      throw new DhowError("invalid", `network ${ref} is ambiguous (${byPrefix.length} matches found based on ID prefix)`);
    const [found] = byPrefix;
    if (found === undefined) throw new DhowError("notFound", `network ${ref} not found`);
    return found;
  }

  #containers(network: NetworkFacts): Record<string, EndpointResource> {
    const { networking, containerName, containersOn } = this.#deps;
    const rows: [string, EndpointResource][] = [];
    const add = (containerId: string, endpoint: SandboxEndpoint | undefined, endpointId = ""): void => {
      const name = containerName(containerId);
      if (name === undefined) return;
      const text = (a: { readonly address: string; readonly prefixLength: number } | undefined): string =>
        a === undefined ? "" : `${a.address}/${a.prefixLength}`;
      rows.push([
        containerId,
        {
          Name: name,
          EndpointID: endpoint?.endpointId ?? endpointId,
          MacAddress: endpoint?.macAddress ?? "",
          IPv4Address: text(endpoint?.ipv4),
          IPv6Address: text(endpoint?.ipv6),
        },
      ]);
    };
    for (const { containerId, endpoint } of networking.endpointsOn(network.id)) add(containerId, endpoint);
    if (network.isPredefined && (network.name === "host" || network.name === "none")) {
      for (const id of containersOn(network.name)) add(id, undefined, networking.sandbox(id)?.sandboxId);
    }
    return Object.fromEntries(rows.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #status({ id, pools }: NetworkFacts): { readonly Status?: Status } {
    if (pools.length === 0) return {};
    const uses = this.#deps.networking.subnetUses(id);
    if (uses.length === 0) return {};
    const subnets = uses.map(({ subnet, used, free }) => [subnet, { IPsInUse: used, DynamicIPsAvailable: saturatedUint64(free) }] as const);
    return { Status: { IPAM: { Subnets: Object.fromEntries(subnets) } } };
  }
}

function summary(network: NetworkFacts): NetworkSummary {
  const { isPredefined, ipamOptions } = network;
  const hasPools = !isPredefined || network.name === "bridge";
  return {
    Name: network.name,
    Id: network.id,
    Created: network.createdAt,
    Scope: network.scope,
    Driver: network.driver,
    EnableIPv4: network.hasIpv4,
    EnableIPv6: network.hasIpv6,
    IPAM: {
      Driver: network.ipamDriver,
      Options: isPredefined ? null : ipamOptions,
      Config: hasPools ? ipamConfig(network) : null,
    },
    Internal: network.isInternal,
    Attachable: network.isAttachable,
    Ingress: false,
    ConfigFrom: { Network: network.configFrom },
    ConfigOnly: network.isConfigOnly,
    Options: network.options,
    Labels: network.labels,
  };
}

/** The subnets of a network; without IPAM all that there are, as docker's driver of that name has it. */
function ipamConfig({ ipamDriver, isConfigOnly, hasIpv4, hasIpv6, pools }: NetworkFacts): IPAMConfig[] {
  if (ipamDriver === "null" && !isConfigOnly) {
    return [...(hasIpv4 ? [ANY_SUBNET[4]] : []), ...(hasIpv6 ? [ANY_SUBNET[6]] : [])].map((Subnet) => ({ Subnet }));
  }
  return pools.map(({ subnet, ipRange, gateway, auxAddresses }) => ({
    Subnet: subnet,
    ...(ipRange && { IPRange: ipRange }),
    ...(gateway && { Gateway: gateway }),
    ...(auxAddresses && Object.keys(auxAddresses).length > 0 && { AuxiliaryAddresses: auxAddresses }),
  }));
}
