import { readFileSync, writeFileSync } from "node:fs";
import { DhowError, errorMessage } from "../../lib/mod.ts";
import { joinedContainer } from "../../runtime/mod.ts";
import type { HostConfig } from "../../spec/engine/mod.ts";
import { type ContainerLink, isRunning, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import type { Container, ContainerStore } from "./store.ts";

/** A container that another one names by `--link`, as that one sees it. */
export interface LinkedContainer {
  readonly alias: string;
  /** Its own name. */
  readonly name: string;
  readonly hostname: string;
  readonly ipAddress: string;
  readonly env: readonly string[];
  /** `80/tcp`. */
  readonly exposedPorts: readonly string[];
}

/** The network modes that are no user's network. */
const WITH_LINKS: ReadonlySet<string> = new Set(["bridge", "host", "none"]);

const lastPart = (path: string): string => path.slice(path.lastIndexOf("/") + 1);

/** Takes `name[:alias]` apart, also in the form that inspect shows: `/web:/me/w`. @throws invalid in docker's words */
export function parseLink(text: string): { readonly name: string; readonly alias: string } {
  if (text === "") throw new DhowError("invalid", "empty string specified for links");
  const [name = "", alias, more] = text.split(":");
  if (more !== undefined) throw new DhowError("invalid", `bad format for links: ${text}`);
  if (alias === undefined) return { name, alias: name };
  return name.startsWith("/") ? { name: name.slice(1), alias: lastPart(alias) } : { name, alias: alias.replace(/^\/+/, "") };
}

interface Port {
  readonly number: number;
  readonly protocol: string;
}

function sortedPorts(exposed: readonly string[]): Port[] {
  const ports = exposed.map((key) => {
    const [number = "", protocol = "tcp"] = key.split("/");
    return { number: Number(number), protocol };
  });
  const rank = ({ protocol }: Port): number => (protocol === "tcp" ? 0 : 1);
  return ports.sort((a, b) => a.number - b.number || rank(a) - rank(b));
}

/** Runs of three and more ports that follow each other. */
function* runsOf(ports: readonly Port[]): Generator<{ readonly first: Port; readonly last: Port }> {
  for (let start = 0; start < ports.length; ) {
    let end = start;
    const number = (index: number): number => ports[index]?.number ?? Number.NaN;
    while (number(end + 1) === number(end) + 1) end++;
    const [first, last] = [ports[start], ports[end]];
    if (first && last && end - start >= 2) yield { first, last };
    start = end + 1;
  }
}

/** The variables that a link puts into the environment, in docker's order. @see links/links.go of moby v28 */
export function linkEnvironment(owner: string, link: LinkedContainer): string[] {
  const prefix = link.alias.toUpperCase().replaceAll("-", "_");
  const ports = sortedPorts(link.exposedPorts);
  const url = ({ number, protocol }: Port): string => `${protocol}://${link.ipAddress}:${number}`;
  const key = ({ number, protocol }: Port): string => `${prefix}_PORT_${number}_${protocol.toUpperCase()}`;
  const env: string[] = [];
  const [lowest] = ports;
  if (lowest) env.push(`${prefix}_PORT=${url(lowest)}`);
  for (const { first, last } of runsOf(ports)) {
    env.push(`${key(first)}_START=${url(first)}`, `${key(first)}_PORT_START=${first.number}`);
    env.push(`${key(first)}_END=${url(last)}`, `${key(first)}_PORT_END=${last.number}`);
  }
  for (const port of ports) {
    env.push(`${key(port)}=${url(port)}`, `${key(port)}_ADDR=${link.ipAddress}`);
    env.push(`${key(port)}_PORT=${port.number}`, `${key(port)}_PROTO=${port.protocol}`);
  }
  env.push(`${prefix}_NAME=/${owner}/${link.alias}`);
  for (const entry of link.env) {
    const name = entry.split("=", 1)[0] ?? "";
    if (entry.includes("=") && name !== "HOME" && name !== "PATH") env.push(`${prefix}_ENV_${entry}`);
  }
  return env;
}

/** The names that a link's line in /etc/hosts has. */
export function linkHostNames({ alias, name, hostname }: Pick<LinkedContainer, "alias" | "name" | "hostname">): string {
  return [alias, hostname, ...(alias === name ? [] : [name])].join(" ");
}

/** `hosts` with another address in the line of these names; without such a line unchanged. */
export function withLinkAddress(hosts: string, names: string, address: string): string {
  return hosts
    .split("\n")
    .map((line) => (line.slice(line.indexOf("\t") + 1) === names && line.includes("\t") ? `${address}\t${names}` : line))
    .join("\n");
}

/**
 * Looks up what a request's links name: a link is kept to the container, whatever its name will be. The first one of an alias counts.
 * Those of a container that is only on networks of users are its endpoints' names for others, who need not be there.
 * @throws invalid in docker's words
 */
export function resolveLinks(store: ContainerStore, hostConfig: HostConfig): readonly ContainerLink[] {
  const { Links } = hostConfig;
  const links = new Map<string, ContainerLink>();
  const mode = networkMode(hostConfig);
  if (!WITH_LINKS.has(mode) && joinedContainer(mode) === undefined) return [];
  for (const text of Links ?? []) {
    const { name, alias } = parseLink(text);
    let target: Container;
    try {
      target = donorOf(store, store.find(name));
    } catch (error) {
      // not "not found": clients would take that for a missing image
      throw new DhowError("invalid", `could not get container for ${name}: ${errorMessage(error)}`, { cause: error });
    }
    if (networkMode(target.spec.hostConfig) === "host") {
      throw new DhowError(
        "invalid",
        "conflicting options: host type networking can't be used with links. This would result in undefined behavior",
      );
    }
    if (!links.has(alias)) links.set(alias, { id: target.id, alias });
  }
  return [...links.values()];
}

/** The container whose network another one is in; itself when it has its own. */
function donorOf(store: ContainerStore, container: Container): Container {
  const donor = joinedContainer(networkMode(container.spec.hostConfig));
  return donor === undefined ? container : donorOf(store, store.find(donor));
}

function bridgeAddress({ state }: Container): string {
  return state.network?.networks["bridge"]?.IPAddress ?? "";
}

function linked(target: Container, alias: string): LinkedContainer {
  const { config } = target.spec;
  return {
    alias,
    name: target.name,
    hostname: config.Hostname ?? "",
    ipAddress: bridgeAddress(target),
    env: config.Env ?? [],
    exposedPorts: Object.keys(config.ExposedPorts ?? {}),
  };
}

/** What a container's links lead to, at its start; a container that has been removed is no link any more. @throws internal when one doesn't run */
export function linkedContainers(deps: ContainerDeps, container: Container): readonly LinkedContainer[] {
  const { links = [], hostConfig } = container.spec;
  if (links.length === 0 || networkMode(hostConfig) !== "bridge") return [];
  return links.flatMap(({ id, alias }) => {
    const target = deps.store.get(id);
    if (!target) return [];
    if (!isRunning(target.state)) {
      throw new DhowError("internal", `Cannot link to a non running container: /${target.name} AS /${container.name}/${alias}`);
    }
    if (bridgeAddress(target) === "") throw new DhowError("internal", `container ${id} not attached to default bridge network`);
    return [linked(target, alias)];
  });
}

/** The variables of those links of a running container whose containers run. */
export function currentLinkEnvironment(deps: ContainerDeps, container: Container): string[] {
  if (bridgeAddress(container) === "") return [];
  return (container.spec.links ?? []).flatMap(({ id, alias }) => {
    const target = deps.store.get(id);
    if (!target || bridgeAddress(target) === "") return [];
    return linkEnvironment(container.name, linked(target, alias));
  });
}

/** Takes a link that is no more out of its running owner's /etc/hosts. */
export function forgetLinkedHosts(deps: ContainerDeps, owner: Container, { id, alias }: ContainerLink, hostsFile: string): void {
  const target = deps.store.get(id);
  if (!isRunning(owner.state) || target === undefined) return;
  const names = linkHostNames(linked(target, alias));
  rewrite(deps, owner, hostsFile, (hosts) => withoutNames(hosts, names));
}

const withoutNames = (hosts: string, names: string): string =>
  hosts
    .split("\n")
    .filter((line) => !line.endsWith(`\t${names}`))
    .join("\n");

/** Tells running containers that link to one which has just started its new address. */
export function updateLinkedHosts(deps: ContainerDeps, started: Container, hostsFile: (id: string) => string): void {
  const address = bridgeAddress(started);
  if (address === "") return;
  for (const { container, alias } of deps.store.linksTo(started.id)) {
    if (!isRunning(container.state)) continue;
    const names = linkHostNames(linked(started, alias));
    rewrite(deps, container, hostsFile(container.id), (hosts) => withLinkAddress(hosts, names, address));
  }
}

function rewrite(deps: ContainerDeps, container: Container, path: string, change: (hosts: string) => string): void {
  try {
    const hosts = readFileSync(path, "utf8");
    const changed = change(hosts);
    // in place: the file is mounted
    if (changed !== hosts) writeFileSync(path, changed);
  } catch (error) {
    deps.log.warn("a link could not be changed in /etc/hosts", { container: container.id, error });
  }
}
