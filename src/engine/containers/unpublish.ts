import { DhowError } from "../../lib/mod.ts";
import { isSameIp, type PortRequest, type PublishedPort } from "../../network/mod.ts";
import type { PortRemoval } from "../../spec/engine/mod.ts";

interface Range {
  readonly first: number;
  readonly last: number;
}

/** The publications that a removal means. @throws invalid; notFound when there is none */
export function publicationsMeant(containerName: string, present: readonly PublishedPort[], removal: PortRemoval): PublishedPort[] {
  const { HostIp = "", HostPort = "", ContainerPort = 0, Protocol = "tcp" } = removal;
  const wanted: Place = {
    hostIp: HostIp.replace(/^\[(.*)\]$/, "$1"),
    hostPort: HostPort,
    containerPort: ContainerPort,
    protocol: Protocol.toLowerCase(),
  };
  if (HostPort === "" && ContainerPort === 0) throw new DhowError("invalid", "no port specified: a publication that is to go needs one");
  const fitting = present.filter((port) => isOfPort(port, wanted) && isOfAddress(port, wanted));
  if (HostPort === "") {
    if (fitting.length === 0) throw notPublished(containerName, present, wanted);
    return fitting;
  }
  const range = parseHostPort(HostPort);
  const exact = fitting.filter(({ request }) => request.hostPort === range.first && request.hostPortEnd === range.last);
  if (exact.length > 0) return exact;
  const each: PublishedPort[] = [];
  for (let port = range.first; port <= range.last; port++) {
    const those = fitting.filter(({ request, leases }) =>
      leases.length > 0 ? leases.some(({ hostPort }) => hostPort === port) : request.hostPort === port && request.hostPortEnd === port,
    );
    if (those.length === 0) throw notPublished(containerName, present, { ...wanted, hostPort: String(port) });
    each.push(...those);
  }
  return each;
}

function isOfPort({ request }: PublishedPort, { containerPort, protocol }: Place): boolean {
  return request.protocol === protocol && (containerPort === 0 || request.containerPort === containerPort);
}

function isOfAddress({ request, leases }: PublishedPort, { hostIp }: Place): boolean {
  return hostIp === "" || [request, ...leases].some((place) => isSameIp(place.hostIp, hostIp));
}

/** With what is published of the same port of the container, which a number alone may have meant. */
function notPublished(containerName: string, present: readonly PublishedPort[], wanted: Place): DhowError {
  const containerPort = wanted.containerPort === 0 ? Number(wanted.hostPort) : wanted.containerPort;
  const there = present.filter((port) => isOfPort(port, { ...wanted, containerPort })).flatMap(shownPublications);
  const hint = there.length === 0 ? "" : ` (but ${there.join(", ")})`;
  return new DhowError("notFound", `container ${containerName} does not publish ${shownPlace(wanted)}${hint}`);
}

interface Place {
  readonly hostIp: string;
  readonly hostPort: string;
  /** 0: whichever. */
  readonly containerPort: number;
  readonly protocol: string;
}

/** As `-p` writes it. */
function shownPlace({ hostIp, hostPort, containerPort, protocol }: Place): string {
  const ip = hostIp.includes(":") ? `[${hostIp}]` : hostIp;
  const container = containerPort === 0 ? "" : `:${containerPort}`;
  return `${ip === "" ? "" : `${ip}:`}${hostPort}${container}/${protocol}`;
}

function shownPublications({ request, leases }: PublishedPort): string[] {
  const { containerPort, protocol } = request;
  if (leases.length === 0) return [shownPlace({ ...request, hostPort: hostPortText(request) })];
  return leases.map(({ hostIp, hostPort }) =>
    shownPlace({ hostIp, hostPort: hostPort === 0 ? "" : String(hostPort), containerPort, protocol }),
  );
}

function parseHostPort(text: string): Range {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || first < 1 || last > 65535 || last < first)
    throw new DhowError("invalid", `invalid port specification: ${JSON.stringify(text)}`);
  return { first, last };
}

/** The ports of the host that a request takes one of, as `-p` writes them; any: the empty text. */
export function hostPortText({ hostPort, hostPortEnd }: PortRequest): string {
  if (hostPort === 0) return "";
  return hostPort === hostPortEnd ? String(hostPort) : `${hostPort}-${hostPortEnd}`;
}
