import { DhowError, filterTest } from "../../lib/mod.ts";
import type { NetworkFacts, Networking, Sandbox } from "../../network/mod.ts";
import type { EndpointResource, Filters, NetworkInspect, NetworkStatus, NetworkSummary, NetworksApi } from "../../spec/engine/mod.ts";
import type { Emit } from "../events.ts";
import { untilFilter } from "../images/filters.ts";

export interface NetworksApiDeps {
  readonly networking: Networking;
  /** A container's name without the slash; undefined when there is no such container. */
  readonly containerName: (containerId: string) => string | undefined;
  /** Ids of running containers that are on the host's network or on none, by that network's name. */
  readonly containersOn: (network: "host" | "none") => readonly string[];
  readonly emit: Emit;
}

/** A network with the containers on it: what docker answers and the API's schema leaves out. */
export interface NetworkInspectFull extends NetworkInspect {
  readonly Containers: Readonly<Record<string, EndpointResource>>;
  /** From API 1.52 on, bridge only. */
  readonly Status?: NetworkStatus | undefined;
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
  const value = filters["dangling"]?.[0];
  if (value === undefined) return undefined;
  if (["1", "t", "T", "true", "TRUE", "True"].includes(value)) return true;
  if (["0", "f", "F", "false", "FALSE", "False"].includes(value)) return false;
  return refuse(`invalid filter 'dangling=[${filters["dangling"]?.join(" ")}]'`);
}

function isListed(network: NetworkFacts, filters: Filters): boolean {
  for (const type of filters["type"] ?? []) if (type !== "builtin" && type !== "custom") refuse(`invalid filter: 'type'='${type}'`);
  return (
    (!filters["name"]?.length || filterTest(filters["name"])(network.name)) &&
    passes(filters["id"], (v) => network.id.startsWith(v)) &&
    passes(filters["driver"], (v) => network.driver === v) &&
    passes(filters["scope"], (v) => v === "local") &&
    passes(filters["type"], (v) => v === "builtin") &&
    // docker never counts its own three networks as dangling, nor as labelled
    danglingOf(filters) !== true &&
    !filters["label"]?.length
  );
}

/** The networks that every daemon has, for the front doors: bridge, host, none. */
export class NetworksService implements NetworksApi {
  readonly #deps: NetworksApiDeps;

  constructor(deps: NetworksApiDeps) {
    this.#deps = deps;
  }

  async list(filters: Filters): Promise<NetworkSummary[]> {
    checkKeys(filters, LIST_FILTERS);
    const all = this.#deps.networking.networks().filter((network) => isListed(network, filters));
    return all.map((network) => ({ ...this.#summary(network), Containers: {} }));
  }

  async inspect(ref: string, options: { readonly verbose: boolean; readonly scope?: string | undefined }): Promise<NetworkInspectFull> {
    const network = this.#resolve(ref);
    const isOtherScope = options.scope !== undefined && options.scope !== "" && options.scope !== "local";
    if (network === undefined || isOtherScope) throw new DhowError("notFound", `network ${ref} not found`);
    return { ...this.#summary(network), Containers: this.#containers(network), ...this.#status(network) };
  }

  /** There is nothing to prune: docker's own networks stay. */
  async prune(filters: Filters): Promise<{ readonly NetworksDeleted: string[] | null }> {
    checkKeys(filters, PRUNE_FILTERS);
    untilFilter(filters);
    this.#deps.emit({ type: "network", action: "prune", id: "", attributes: { reclaimed: "0" } });
    return { NetworksDeleted: null };
  }

  async create(): Promise<never> {
    throw new DhowError("unsupported", "create a network: this engine has the default networks only");
  }

  async remove(ref: string): Promise<void> {
    const network = this.#resolve(ref);
    if (network === undefined) throw new DhowError("notFound", `network ${ref} not found`);
    throw new DhowError("forbidden", `${network.name} is a pre-defined network and cannot be removed`);
  }

  async connect(): Promise<never> {
    throw new DhowError("unsupported", "connect to a network: this engine has the default networks only");
  }

  async disconnect(): Promise<never> {
    throw new DhowError("unsupported", "disconnect from a network: this engine has the default networks only");
  }

  /** By name, else by id, else by a unique prefix of one. */
  #resolve(ref: string): NetworkFacts | undefined {
    const all = this.#deps.networking.networks();
    const exact = all.find((n) => n.name === ref) ?? all.find((n) => n.id === ref);
    if (exact !== undefined || ref === "") return exact;
    const byPrefix = all.filter((n) => n.id.startsWith(ref));
    if (byPrefix.length > 1)
      throw new DhowError("invalid", `network ${ref} is ambiguous (${byPrefix.length} matches found based on ID prefix)`);
    return byPrefix[0];
  }

  #summary(network: NetworkFacts): NetworkSummary {
    const { networking } = this.#deps;
    const isBridge = network.name === "bridge";
    const range = network.ipRange === undefined ? {} : { IPRange: network.ipRange };
    const { bridge } = networking;
    return {
      Name: network.name,
      Id: network.id,
      Created: network.createdAt,
      Scope: "local",
      Driver: network.driver,
      EnableIPv4: true,
      EnableIPv6: false,
      IPAM: {
        Driver: "default",
        Options: null,
        Config: isBridge ? [{ Subnet: network.subnet, ...range, Gateway: network.gateway }] : null,
      },
      Internal: false,
      Attachable: false,
      Ingress: false,
      ConfigFrom: { Network: "" },
      ConfigOnly: false,
      Options: isBridge
        ? {
            "com.docker.network.bridge.default_bridge": "true",
            "com.docker.network.bridge.enable_icc": String(bridge.icc),
            "com.docker.network.bridge.enable_ip_masquerade": String(bridge.masquerade),
            "com.docker.network.bridge.host_binding_ipv4": bridge.hostIp,
            "com.docker.network.bridge.name": bridge.name,
            "com.docker.network.driver.mtu": String(bridge.mtu),
          }
        : {},
      Labels: {},
    };
  }

  #containers(network: NetworkFacts): Record<string, EndpointResource> {
    const { networking, containerName, containersOn } = this.#deps;
    const rows: [string, EndpointResource][] = [];
    const add = (containerId: string, sandbox: Sandbox | undefined): void => {
      const name = containerName(containerId);
      if (name === undefined) return;
      const address = sandbox === undefined || sandbox.ipAddress === "" ? "" : `${sandbox.ipAddress}/${sandbox.prefixLength}`;
      rows.push([
        containerId,
        { Name: name, EndpointID: sandbox?.endpointId ?? "", MacAddress: sandbox?.macAddress ?? "", IPv4Address: address, IPv6Address: "" },
      ]);
    };
    const held = networking.sandboxes().filter((s) => s.mode === network.name);
    for (const sandbox of held) add(sandbox.containerId, sandbox);
    if (network.name !== "bridge") {
      const seen = new Set(held.map((s) => s.containerId));
      for (const id of containersOn(network.name)) if (!seen.has(id)) add(id, undefined);
    }
    return Object.fromEntries(rows.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #status(network: NetworkFacts): { readonly Status?: NetworkStatus } {
    if (network.subnet === undefined) return {};
    const { used, free } = this.#deps.networking.addressUse();
    // network and broadcast address count as in use, as docker counts
    return { Status: { IPAM: { Subnets: { [network.subnet]: { IPsInUse: used + 2, DynamicIPsAvailable: free } } } } };
  }
}
