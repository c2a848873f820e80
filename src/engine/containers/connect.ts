import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DhowError } from "../../lib/mod.ts";
import type { NetworkFacts, Sandbox } from "../../network/mod.ts";
import type { EndpointSettings } from "../../spec/engine/mod.ts";
import { isRunning, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitNetwork } from "./emit.ts";
import { checkEndpoint, configured, endpointWish, namesOn } from "./endpoints.ts";
import { addressesOf, resolvConfText, sandboxState } from "./networking.ts";
import type { Container } from "./store.ts";

/**
 * Connects a container to a network, at once when it runs; under the container's lock.
 * @throws forbidden, invalid, conflict in docker's words
 */
export async function connectContainer(
  deps: ContainerDeps,
  container: Container,
  network: NetworkFacts,
  asked: EndpointSettings,
): Promise<void> {
  const { spec, state } = container;
  if (state.status === "removing" || state.status === "dead") throw removed(container);
  checkConnectable(container, network, asked);
  if (Object.hasOwn(spec.endpoints, network.name) && (isRunning(state) || network.name === "bridge")) {
    throw new DhowError("forbidden", `endpoint with name ${container.name} already exists in network ${network.name}`);
  }
  const settings = configured(asked, network.id);
  const before = spec.endpoints;
  const { none: _, ...others } = before;
  deps.store.updateSpec(container, { endpoints: { ...others, [network.name]: settings } });
  if (!isRunning(state)) return;
  try {
    const sandbox = await deps.network.connect(container.id, endpointWish(deps, container, network.name, settings));
    refresh(deps, container, sandbox);
  } catch (error) {
    deps.store.updateSpec(container, { endpoints: before });
    throw error;
  }
  emitNetwork(deps.emit, "connect", container, network);
}

/** @throws invalid, forbidden in docker's words, where a container can't have another network */
function checkConnectable({ spec }: Container, network: NetworkFacts, asked: EndpointSettings): void {
  const mode = networkMode(spec.hostConfig);
  const shared = "container sharing network namespace with another container or host cannot be connected to any other network";
  if (mode.startsWith("container:")) throw new DhowError("invalid", shared);
  checkEndpoint(network.name, configured(asked, network.id), network);
  if (mode === "host" && network.name !== "host") throw new DhowError("invalid", shared);
  if (network.name === "host" && mode !== "host") {
    throw new DhowError("invalid", "cannot connect container to host network - container must be created in host network mode");
  }
  if (Object.hasOwn(spec.endpoints, "none") || network.name === "none") {
    throw new DhowError("invalid", "container cannot be connected to multiple networks with one of the networks in private (none) mode");
  }
  if (network.scope !== "local" && !network.isAttachable && network.driver === "overlay" && network.isPredefined) {
    throw new DhowError("forbidden", `Could not attach to network ${network.name}: network not manually attachable`);
  }
}

function removed({ id }: Container): DhowError {
  return new DhowError("internal", `Container ${id} is marked for removal and cannot be connected or disconnected to the network`);
}

/**
 * Disconnects a container from a network, at once when it runs; under the container's lock.
 * @throws notFound, invalid in docker's words
 */
export async function disconnectContainer(deps: ContainerDeps, container: Container, network: NetworkFacts): Promise<void> {
  const { spec, state } = container;
  if (networkMode(spec.hostConfig) === "host" && network.name === "host") {
    throw new DhowError("invalid", "cannot disconnect container from host network - container was created in host network mode");
  }
  if (!isRunning(state)) return forgetEndpoint(deps, container, network.name);
  if (!Object.hasOwn(spec.endpoints, network.name)) {
    throw new DhowError("forbidden", `container ${container.id} is not connected to network ${network.name}`);
  }
  const { [network.name]: _, ...endpoints } = spec.endpoints;
  const sandbox = network.name === "none" ? deps.network.sandbox(container.id) : await deps.network.disconnect(container.id, network.id);
  deps.store.updateSpec(container, { endpoints });
  if (sandbox !== undefined) refresh(deps, container, sandbox);
  emitNetwork(deps.emit, "disconnect", container, network);
}

/**
 * Disconnects a container from a network that is not there any more; one that runs only by force. Under the container's lock.
 * @throws `refusal`; forbidden in docker's words
 */
export function disconnectFromGone(
  deps: ContainerDeps,
  container: Container,
  name: string,
  { isForced, refusal }: { readonly isForced: boolean; readonly refusal: unknown },
): void {
  if (isRunning(container.state) && !isForced) throw refusal;
  forgetEndpoint(deps, container, name);
}

/** @throws forbidden, internal in docker's words */
function forgetEndpoint(deps: ContainerDeps, container: Container, name: string): void {
  const { id, spec, state } = container;
  if (state.status === "removing" || state.status === "dead") throw removed(container);
  if (!Object.hasOwn(spec.endpoints, name)) throw new DhowError("forbidden", `container ${id} is not connected to the network ${name}`);
  const { [name]: _, ...endpoints } = spec.endpoints;
  deps.store.updateSpec(container, { endpoints });
  if (state.network === null) return;
  const { [name]: __, ...networks } = state.network.networks;
  deps.store.update(container, { network: { ...state.network, networks } });
}

/** What inspect, /etc/hosts and /etc/resolv.conf say of a running container's networks. */
function refresh(deps: ContainerDeps, container: Container, sandbox: Sandbox): void {
  const before = new Set(Object.values(container.state.network?.networks ?? {}).flatMap((e) => [e.IPAddress, e.GlobalIPv6Address]));
  const state = sandboxState(deps, container, sandbox, container.state.pid);
  deps.store.update(container, { network: sandbox.endpoints.length === 0 ? { ...state, networks: {} } : state });
  const dir = join(deps.settings.dataRoot, "containers", container.id);
  const { config } = container.spec;
  try {
    rewrite(join(dir, "hosts"), (text) =>
      withAddresses(text, before, addressesOf(sandbox), ownNames(config.Hostname ?? "", config.Domainname ?? "")),
    );
    rewrite(join(dir, "resolv.conf"), (text) => {
      // what the container changed itself is its own
      const others = [true, false].map((hasDns) => resolvConfText(deps, container, { isHost: false, hasDns }));
      return others.includes(text) ? resolvConfText(deps, container, { isHost: false, hasDns: sandbox.hasDns }) : text;
    });
  } catch (error) {
    deps.log.warn("a container's network files could not be written", { container: container.id, error });
  }
}

function ownNames(hostname: string, domainname: string): string {
  const fqdn = domainname === "" ? hostname : `${hostname}.${domainname}`;
  const dot = fqdn.indexOf(".");
  return dot < 0 ? fqdn : `${fqdn} ${fqdn.slice(0, dot)}`;
}

/** `hosts` with lines for these addresses, and none for those that it had. */
function withAddresses(hosts: string, former: ReadonlySet<string | undefined>, addresses: readonly string[], names: string): string {
  const lines = hosts.split("\n").filter((line) => !(former.has(line.split("\t")[0]) && line.split("\t")[1] === names));
  while (lines.at(-1) === "") lines.pop();
  return `${[...lines, ...addresses.map((address) => `${address}\t${names}`)].join("\n")}\n`;
}

/** In place: the file is mounted. */
function rewrite(path: string, change: (text: string) => string): void {
  const text = readFileSync(path, "utf8");
  const changed = change(text);
  if (changed !== text) writeFileSync(path, changed);
}

/** Tells the name servers of a running container's networks its other name. */
export function renameEndpoints(deps: ContainerDeps, container: Container): void {
  if (!isRunning(container.state)) return;
  const { endpoints } = container.spec;
  deps.network.rename(container.id, (networkId) => {
    const [, settings] = Object.entries(endpoints).find(([, e]) => e.NetworkID === networkId) ?? [];
    return settings === undefined ? [container.name] : namesOn(container, settings);
  });
  const sandbox = deps.network.sandbox(container.id);
  if (sandbox !== undefined) deps.store.update(container, { network: sandboxState(deps, container, sandbox, container.state.pid) });
}
