import { chownSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { DhowError } from "../../lib/mod.ts";
import { type Fd, O_RDONLY, type Owner, open } from "../../linux/mod.ts";
import {
  buildHostModeHosts,
  buildHostname,
  buildHosts,
  buildResolvConf,
  type PortSpecs,
  parsePortSpecs,
  readHostResolvConf,
  type Sandbox,
} from "../../network/mod.ts";
import type { SpecNetwork } from "../../runtime/mod.ts";
import type { PortMap } from "../../spec/engine/mod.ts";
import type { OciMount } from "../../spec/oci-runtime/mod.ts";
import { isRunning, type NetworkState, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { emptyEndpoint, endpointWishes, hasNoIpv6, pluggedEndpoint } from "./endpoints.ts";
import { networkOwner } from "./joiners.ts";
import { type LinkedContainer, linkHostNames } from "./links.ts";
import type { Container } from "./store.ts";

/** A container's place on the network: what the runtime needs, what inspect shows, and where its /etc files come from. */
export interface Plugged {
  readonly network: SpecNetwork;
  readonly state: (pid: number) => NetworkState;
  readonly sandbox: Sandbox | undefined;
  /** The container whose network it shares. */
  readonly joined: Container | undefined;
}

/** Where a container's /etc files are on the host, and whom it has linked to. */
export interface EtcInput {
  readonly dir: string;
  readonly links: readonly LinkedContainer[];
  /** Whose the files are on the host. */
  readonly owner: Owner | undefined;
}

/** The running container that another one's namespace is to be shared of. @throws internal when it doesn't run */
export function runningDonor(deps: ContainerDeps, ref: string, what: "IPC" | "PID" | "user"): Container {
  const donor = deps.store.find(ref);
  const failed = (why: string): DhowError => new DhowError("internal", `failed to join ${what} namespace: ${why}`);
  if (donor.state.status === "restarting") throw failed(restarting(donor.id));
  if (!isRunning(donor.state)) throw failed(`container ${donor.id} is not running`);
  return donor;
}

const restarting = (id: string): string => `Container ${id} is restarting, wait until the container is running`;

/** The running container whose network another one is to have. @throws conflict when it doesn't run */
function networkDonor(deps: ContainerDeps, ref: string, self: Container): Container {
  const donor = deps.store.find(ref);
  if (donor.id === self.id) throw new DhowError("internal", "cannot join own network namespace");
  const { status } = donor.state;
  if (status === "restarting") throw new DhowError("conflict", `cannot join network namespace of container: ${restarting(ref)}`);
  if (!isRunning(donor.state)) {
    throw new DhowError("conflict", `cannot join network namespace of a non running container: container ${donor.name} is ${status}`);
  }
  return donor;
}

/**
 * Path of a namespace of a running container, good until `held` is disposed of. By the time a runtime opens a path with a pid in it,
 * the pid may be that of another process, one of the host's even; hence a descriptor, and a look whether the container still runs.
 * @throws conflict
 */
export function namespacePath(deps: ContainerDeps, donor: Container, type: "net" | "pid" | "ipc", held: DisposableStack): string {
  return `/proc/${process.pid}/fd/${openNamespace(deps, donor, type, held).fd}`;
}

/** A namespace of a running container, closed with `held`. @throws conflict */
export function openNamespace(deps: ContainerDeps, donor: Container, type: "net" | "pid" | "ipc" | "user", held: DisposableStack): Fd {
  const ended = (cause?: unknown): DhowError =>
    new DhowError("conflict", `cannot join ${type} namespace of a non running container: ${donor.id}`, { cause });
  let fd: Fd;
  try {
    fd = held.use(open(`/proc/${donor.state.pid}/ns/${type}`, O_RDONLY));
  } catch (error) {
    throw ended(error);
  }
  if (!deps.live.of(donor).task?.signal(0)) throw ended();
  return fd;
}

/** A container in another one's network has that one's name, too: inspect shows it from the start on. @throws conflict, notFound */
export function inheritHostname(deps: ContainerDeps, container: Container): void {
  const mode = networkMode(container.spec.hostConfig);
  if (!mode.startsWith("container:")) return;
  const { Hostname = "", Domainname = "" } = networkDonor(deps, mode.slice("container:".length), container).spec.config;
  const { config } = container.spec;
  if (config.Hostname === Hostname && config.Domainname === Domainname) return;
  deps.store.updateSpec(container, { config: { ...config, Hostname, Domainname } });
}

/**
 * Plugs a container into its networks; `held` has to live until it runs. A sandbox of its own is in the namespace that
 * `takeNetns` gives, if it gives one.
 * @throws what `Networking.acquire` throws, conflict, notFound
 */
export async function plugIn(
  deps: ContainerDeps,
  container: Container,
  held: DisposableStack,
  takeNetns: () => Fd | undefined,
): Promise<Plugged> {
  const mode = networkMode(container.spec.hostConfig);
  if (mode.startsWith("container:")) {
    const joined = networkDonor(deps, mode.slice("container:".length), container);
    deps.network.settle();
    const path = namespacePath(deps, joined, "net", held);
    const state = (): NetworkState => ({ sandboxId: "", sandboxKey: "", ports: {}, networks: {} });
    return { network: { kind: "join", path }, state, sandbox: undefined, joined };
  }
  try {
    return await plugInOwn(deps, container, mode, takeNetns);
  } catch (error) {
    if (!(error instanceof DhowError)) throw error;
    const { kind, details } = error;
    throw new DhowError(kind, `failed to set up container networking: ${error.message}`, { cause: error, details });
  }
}

async function plugInOwn(deps: ContainerDeps, container: Container, mode: string, takeNetns: () => Fd | undefined): Promise<Plugged> {
  const { hostConfig, config } = container.spec;
  // of all others the endpoints count: the network of the mode may be gone
  if (mode === "host") {
    const network = deps.network.network("host");
    const state = (pid: number): NetworkState => ({
      sandboxId: container.id,
      sandboxKey: `/proc/${pid}/ns/net`,
      ports: {},
      networks: { host: { ...emptyEndpoint(), NetworkID: network?.id ?? "", EndpointID: container.id } },
    });
    return { network: { kind: "host" }, state, sandbox: undefined, joined: undefined };
  }
  const sandbox = await deps.network.acquire(container.id, {
    containerName: container.name,
    ports: publishedPorts(container),
    endpoints: config.NetworkDisabled === true ? [] : endpointWishes(deps, container),
    dns: { servers: hostConfig.Dns?.length ? hostConfig.Dns : deps.settings.dns, keepsSingleLabels: hasNdots(deps, container) },
    conditions: container.spec.extensions?.conditions,
    egress: container.spec.extensions?.egress,
    netns: takeNetns(),
  });
  return {
    network: { kind: "join", path: sandbox.netnsPath },
    state: (pid) => sandboxState(deps, container, sandbox, pid),
    sandbox,
    joined: undefined,
  };
}

/** What a container is to publish. @throws invalid in docker's words */
export function publishedPorts({ spec }: Pick<Container, "spec">): PortSpecs {
  const { config, hostConfig, extensions } = spec;
  return parsePortSpecs({
    exposedPorts: config.ExposedPorts,
    portBindings: hostConfig.PortBindings,
    publishAll: hostConfig.PublishAllPorts,
    allow: new Map(extensions?.portAllows.map(({ port, sources }) => [port, sources])),
  });
}

function hasNdots(deps: ContainerDeps, { spec }: Container): boolean {
  const own = spec.hostConfig.DnsOptions?.length ? spec.hostConfig.DnsOptions : deps.settings.dnsOptions;
  const options = own.length > 0 ? own : readHostResolvConf().options;
  return options.some((option) => /^ndots:[1-9]/.test(option));
}

/** What inspect shows of a sandbox. */
export function sandboxState(deps: Pick<ContainerDeps, "network">, container: Container, sandbox: Sandbox, pid: number): NetworkState {
  const ports: PortMap = Object.fromEntries(Object.entries(sandbox.ports).map(([key, rows]) => [key, rows === null ? null : [...rows]]));
  const { endpoints } = container.spec;
  const none = { ...emptyEndpoint(), NetworkID: deps.network.network("none")?.id ?? "", EndpointID: sandbox.sandboxId };
  const withoutAny = Object.hasOwn(endpoints, "none") ? { none } : {};
  return {
    sandboxId: sandbox.sandboxId,
    sandboxKey: `/proc/${pid}/ns/net`,
    ports,
    networks:
      sandbox.endpoints.length === 0
        ? withoutAny
        : Object.fromEntries(sandbox.endpoints.map((e) => [e.networkName, pluggedEndpoint(endpoints[e.networkName], e)])),
  };
}

function etcMount(source: string, destination: string): OciMount {
  return { destination, type: "bind", source, options: ["rbind", "rprivate"] };
}

/** Writes /etc/hosts, /etc/hostname and /etc/resolv.conf of a container and returns their mounts; what the user mounted there wins. */
export function etcFiles(deps: ContainerDeps, container: Container, plugged: Plugged, input: EtcInput): OciMount[] {
  const { dir } = input;
  const taken = new Set(container.spec.mounts.map((m) => m.destination));
  // of whom the network is: one that has joined another has no files of its own
  const files = join(dir, "..", networkOwner(deps, container));
  if (!plugged.joined) writeEtc(deps, container, plugged, input);
  return ["hosts", "hostname", "resolv.conf"]
    .map((name) => etcMount(`${files}/${name}`, `/etc/${name}`))
    .filter((m) => !taken.has(m.destination))
    .map((m) => (container.spec.hostConfig.ReadonlyRootfs ? { ...m, options: [...(m.options ?? []), "ro"] } : m));
}

function writeEtc(deps: ContainerDeps, container: Container, plugged: Plugged, { dir, links, owner }: EtcInput): void {
  const { config } = container.spec;
  const isHost = plugged.network.kind === "host";
  writeFileSync(`${dir}/hosts`, hostsText(deps, container, plugged, links));
  writeFileSync(`${dir}/hostname`, buildHostname(isHost && !config.Hostname ? hostname() : (config.Hostname ?? "")));
  writeFileSync(`${dir}/resolv.conf`, resolvConfText(deps, container, { isHost, hasDns: plugged.sandbox?.hasDns ?? false }));
  if (owner !== undefined) for (const name of ["hosts", "hostname", "resolv.conf"]) chownSync(`${dir}/${name}`, owner.uid, owner.gid);
}

/** The addresses of a sandbox, in the order of its interfaces. */
export function addressesOf(sandbox: Sandbox | undefined): string[] {
  return (sandbox?.endpoints ?? []).flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6].flatMap((a) => a?.address ?? []));
}

function hostsText(deps: ContainerDeps, container: Container, plugged: Plugged, links: readonly LinkedContainer[]): string {
  const { config, hostConfig } = container.spec;
  const extraHosts = hostConfig.ExtraHosts ?? [];
  const { hostGateways } = deps.network;
  if (plugged.network.kind === "host") return buildHostModeHosts(readFileSync("/etc/hosts", "utf8"), { extraHosts, hostGateways });
  return buildHosts({
    hostname: config.Hostname ?? "",
    domainname: config.Domainname ?? "",
    addresses: addressesOf(plugged.sandbox),
    extraHosts: [...extraHosts, ...links.map((link) => `${linkHostNames(link)}:${link.ipAddress}`)],
    hostGateways,
    hasIpv6: !hasNoIpv6(container),
  });
}

/** A container's resolv.conf; `hasDns`: it asks the daemon, at 127.0.0.11. */
export function resolvConfText(
  deps: ContainerDeps,
  container: Container,
  { isHost, hasDns }: { readonly isHost: boolean; readonly hasDns: boolean },
): string {
  const { hostConfig } = container.spec;
  const { settings, network } = deps;
  const pick = (own: readonly string[] | null | undefined, fallback: readonly string[]): readonly string[] =>
    own?.length ? own : fallback;
  return buildResolvConf({
    host: readHostResolvConf(),
    dns: pick(hostConfig.Dns, settings.dns),
    search: pick(hostConfig.DnsSearch, settings.dnsSearch),
    options: pick(hostConfig.DnsOptions, settings.dnsOptions),
    forwarder: isHost ? undefined : network.dnsForwarder,
    isHostNetwork: isHost,
    isInternalResolver: hasDns,
  });
}
