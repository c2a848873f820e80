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
  parsePortSpecs,
  readHostResolvConf,
  type Sandbox,
} from "../../network/mod.ts";
import type { SpecNetwork } from "../../runtime/mod.ts";
import type { EndpointSettings, PortMap } from "../../spec/engine/mod.ts";
import type { OciMount } from "../../spec/oci-runtime/mod.ts";
import { isRunning, type NetworkState, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { type LinkedContainer, linkHostNames } from "./links.ts";
import type { Container } from "./store.ts";

/** An endpoint that is not plugged in. */
export function emptyEndpoint(): EndpointSettings {
  return {
    IPAMConfig: null,
    Links: null,
    Aliases: null,
    DriverOpts: null,
    GwPriority: 0,
    NetworkID: "",
    EndpointID: "",
    Gateway: "",
    IPAddress: "",
    MacAddress: "",
    IPPrefixLen: 0,
    IPv6Gateway: "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    DNSNames: null,
  };
}

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

/** The running container that another one's namespace is to be shared of. @throws conflict when it doesn't run */
export function runningDonor(deps: ContainerDeps, ref: string, what: string): Container {
  const donor = deps.store.find(ref);
  if (donor.state.status === "restarting") {
    throw new DhowError("conflict", `cannot join ${what} of a restarting container: ${donor.id}`);
  }
  if (!isRunning(donor.state)) throw new DhowError("conflict", `cannot join ${what} of a non running container: ${donor.id}`);
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
  const { Hostname = "", Domainname = "" } = runningDonor(deps, mode.slice("container:".length), "network").spec.config;
  const { config } = container.spec;
  if (config.Hostname === Hostname && config.Domainname === Domainname) return;
  deps.store.updateSpec(container, { config: { ...config, Hostname, Domainname } });
}

/**
 * Plugs a container into its network; `held` has to live until it runs. A sandbox of its own is in the namespace that
 * `takeNetns` gives, if it gives one.
 * @throws what `Networking.acquire` throws, conflict, notFound
 */
export function plugIn(deps: ContainerDeps, container: Container, held: DisposableStack, takeNetns: () => Fd | undefined): Plugged {
  const { hostConfig, config } = container.spec;
  const mode = networkMode(hostConfig);
  if (mode.startsWith("container:")) {
    const joined = runningDonor(deps, mode.slice("container:".length), "network");
    const path = namespacePath(deps, joined, "net", held);
    const state = (): NetworkState => ({ sandboxId: "", sandboxKey: "", ports: {}, networks: {} });
    return { network: { kind: "join", path }, state, sandbox: undefined, joined };
  }
  if (mode === "host") {
    const id = deps.network.networks().find((n) => n.name === "host")?.id ?? "";
    const state = (pid: number): NetworkState => ({
      sandboxId: container.id,
      sandboxKey: `/proc/${pid}/ns/net`,
      ports: {},
      networks: { host: { ...emptyEndpoint(), NetworkID: id, EndpointID: container.id } },
    });
    return { network: { kind: "host" }, state, sandbox: undefined, joined: undefined };
  }
  if (!deps.network.networks().some((n) => n.name === mode || n.id === mode)) throw new DhowError("notFound", `network ${mode} not found`);
  const isNone = mode === "none" || config.NetworkDisabled === true;
  const specs = parsePortSpecs({
    exposedPorts: config.ExposedPorts,
    portBindings: hostConfig.PortBindings,
    publishAll: hostConfig.PublishAllPorts,
  });
  const { defaultHostIp } = deps.settings;
  const requests = defaultHostIp === "0.0.0.0" ? specs.requests : specs.requests.map((r) => ({ ...r, hostIp: r.hostIp || defaultHostIp }));
  const sandbox = deps.network.acquire(container.id, {
    mode: isNone ? "none" : "bridge",
    containerName: container.name,
    ports: { ...specs, requests },
    macAddress: container.spec.endpoints[mode]?.MacAddress || undefined,
    netns: takeNetns(),
  });
  return {
    network: { kind: "join", path: sandbox.netnsPath },
    state: (pid) => sandboxState(sandbox, pid),
    sandbox,
    joined: undefined,
  };
}

/** What inspect shows of a sandbox. */
export function sandboxState(sandbox: Sandbox, pid: number): NetworkState {
  const name = sandbox.mode === "bridge" ? "bridge" : "none";
  const ports: PortMap = Object.fromEntries(Object.entries(sandbox.ports).map(([key, rows]) => [key, rows === null ? null : [...rows]]));
  return {
    sandboxId: sandbox.sandboxId,
    sandboxKey: `/proc/${pid}/ns/net`,
    ports,
    networks: {
      [name]: {
        ...emptyEndpoint(),
        NetworkID: sandbox.networkId,
        EndpointID: sandbox.endpointId,
        Gateway: sandbox.gateway,
        IPAddress: sandbox.ipAddress,
        IPPrefixLen: sandbox.prefixLength,
        MacAddress: sandbox.macAddress,
      },
    },
  };
}

function etcMount(source: string, destination: string): OciMount {
  return { destination, type: "bind", source, options: ["rbind", "rprivate"] };
}

/** Writes /etc/hosts, /etc/hostname and /etc/resolv.conf of a container and returns their mounts; what the user mounted there wins. */
export function etcFiles(deps: ContainerDeps, container: Container, plugged: Plugged, input: EtcInput): OciMount[] {
  const { dir } = input;
  const taken = new Set(container.spec.mounts.map((m) => m.destination));
  const files = plugged.joined ? join(dir, "..", plugged.joined.id) : dir;
  if (!plugged.joined) writeEtc(deps, container, plugged, input);
  return ["hosts", "hostname", "resolv.conf"]
    .map((name) => etcMount(`${files}/${name}`, `/etc/${name}`))
    .filter((m) => !taken.has(m.destination))
    .map((m) => (container.spec.hostConfig.ReadonlyRootfs ? { ...m, options: [...(m.options ?? []), "ro"] } : m));
}

function writeEtc(deps: ContainerDeps, container: Container, plugged: Plugged, { dir, links, owner }: EtcInput): void {
  const { config, hostConfig } = container.spec;
  const { settings, network } = deps;
  const isHost = plugged.network.kind === "host";
  const extraHosts = hostConfig.ExtraHosts ?? [];
  const { hostGateway } = network;
  const hosts = isHost
    ? buildHostModeHosts(readFileSync("/etc/hosts", "utf8"), { extraHosts, hostGateway })
    : buildHosts({
        hostname: config.Hostname ?? "",
        domainname: config.Domainname ?? "",
        ipAddress: plugged.sandbox?.ipAddress || undefined,
        extraHosts: [...extraHosts, ...links.map((link) => `${linkHostNames(link)}:${link.ipAddress}`)],
        hostGateway,
      });
  const pick = (own: readonly string[] | null | undefined, fallback: readonly string[]): readonly string[] =>
    own?.length ? own : fallback;
  writeFileSync(`${dir}/hosts`, hosts);
  writeFileSync(`${dir}/hostname`, buildHostname(isHost && !config.Hostname ? hostname() : (config.Hostname ?? "")));
  writeFileSync(
    `${dir}/resolv.conf`,
    buildResolvConf({
      host: readHostResolvConf(),
      dns: pick(hostConfig.Dns, settings.dns),
      search: pick(hostConfig.DnsSearch, settings.dnsSearch),
      options: pick(hostConfig.DnsOptions, settings.dnsOptions),
      forwarder: isHost ? undefined : network.dnsForwarder,
      isHostNetwork: isHost,
    }),
  );
  if (owner !== undefined) for (const name of ["hosts", "hostname", "resolv.conf"]) chownSync(`${dir}/${name}`, owner.uid, owner.gid);
}
