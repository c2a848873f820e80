import { isIP } from "node:net";
import { DhowError } from "../lib/mod.ts";

export type PortProtocol = "tcp" | "udp" | "sctp";

/** One container port to be published. */
export interface PortRequest {
  readonly containerPort: number;
  readonly protocol: PortProtocol;
  /** Empty: every address of the host, IPv4 and IPv6. */
  readonly hostIp: string;
  /** The first free port from `hostPort` to `hostPortEnd`; both 0: any. */
  readonly hostPort: number;
  readonly hostPortEnd: number;
  /** Networks that alone may use it; undefined: everybody. */
  readonly allow?: readonly string[] | undefined;
}

/** What a container wants of the host's ports. */
export interface PortSpecs {
  readonly requests: readonly PortRequest[];
  /** `80/tcp`: exposed or bound, in the order of docker's port map. */
  readonly exposed: readonly string[];
}

interface Range {
  readonly first: number;
  readonly last: number;
}

function parsePort(text: string): number | undefined {
  return /^\d{1,5}$/.test(text) && Number(text) <= 65535 ? Number(text) : undefined;
}

/** Parses `80` or `80-90`; the empty text is port 0. Undefined when it is neither. */
function parseRange(text: string): Range | undefined {
  if (text === "") return { first: 0, last: 0 };
  const [a = "", b, more] = text.split("-");
  const first = parsePort(a);
  const last = b === undefined ? first : parsePort(b);
  if (first === undefined || last === undefined || more !== undefined || last < first) return undefined;
  return { first, last };
}

function isProtocol(text: string): text is PortProtocol {
  return text === "tcp" || text === "udp" || text === "sctp";
}

function splitProtocol(spec: string): { readonly port: string; readonly protocol: string } {
  const [port = "", protocol = "tcp"] = spec.split("/");
  return { port, protocol: protocol === "" ? "tcp" : protocol.toLowerCase() };
}

function parseExposed(spec: string): { readonly range: Range; readonly protocol: PortProtocol } {
  const { port, protocol } = splitProtocol(spec);
  if (!isProtocol(protocol)) throw new DhowError("invalid", `invalid proto: ${protocol}`);
  const range = parseRange(port);
  if (range === undefined || port === "") {
    throw new DhowError("invalid", `Invalid range format for --expose: ${spec}, error: invalid start port ${JSON.stringify(port)}`);
  }
  return { range, protocol };
}

function* parseBinding(
  key: string,
  bindings: readonly { readonly HostIp?: string | undefined; readonly HostPort?: string | undefined }[],
): Generator<PortRequest> {
  const { port, protocol } = splitProtocol(key);
  const containerPort = parsePort(port);
  if (containerPort === undefined) throw new DhowError("invalid", `invalid port specification: ${JSON.stringify(port)}`);
  if (!isProtocol(protocol)) throw new DhowError("invalid", `invalid proto: ${protocol}`);
  for (const { HostIp = "", HostPort = "" } of bindings) {
    const range = parseRange(HostPort);
    if (range === undefined) throw new DhowError("invalid", `invalid port specification: ${JSON.stringify(HostPort)}`);
    const hostIp = HostIp.replace(/^\[(.*)\]$/, "$1");
    if (hostIp !== "" && isIP(hostIp) === 0) throw new DhowError("invalid", `invalid IP address: ${HostIp}`);
    yield { containerPort, protocol, hostIp, hostPort: range.first, hostPortEnd: range.last };
  }
}

type Bindings = Readonly<
  Record<string, readonly { readonly HostIp?: string | undefined; readonly HostPort?: string | undefined }[] | null>
>;

/** What of a container's configuration concerns ports; the forms of the Engine API. */
export interface PortConfig {
  /** `Config.ExposedPorts`, the image's included. */
  readonly exposedPorts: Readonly<Record<string, unknown>> | null | undefined;
  /** `HostConfig.PortBindings`. */
  readonly portBindings: Bindings | null | undefined;
  /** `HostConfig.PublishAllPorts`. */
  readonly publishAll: boolean | undefined;
  /** Networks that alone may use a published port, by `80/tcp`. */
  readonly allow?: ReadonlyMap<string, readonly string[]> | undefined;
}

/** Reads what is to be published and what is exposed. @throws invalid in docker's words */
export function parsePortSpecs(config: PortConfig): PortSpecs {
  const requests: PortRequest[] = [];
  const exposed = new Set<string>();
  for (const [key, bindings] of Object.entries(config.portBindings ?? {})) {
    const { port, protocol } = splitProtocol(key);
    // an empty list is docker's way to say: any port
    requests.push(...parseBinding(key, bindings === null || bindings.length === 0 ? [{}] : bindings));
    exposed.add(`${Number(port)}/${protocol}`);
  }
  for (const spec of Object.keys(config.exposedPorts ?? {})) {
    const { range, protocol } = parseExposed(spec);
    for (let containerPort = range.first; containerPort <= range.last; containerPort++) {
      const key = `${containerPort}/${protocol}`;
      if (exposed.has(key)) continue;
      exposed.add(key);
      if (config.publishAll) requests.push({ containerPort, protocol, hostIp: "", hostPort: 0, hostPortEnd: 0 });
    }
  }
  for (const [index, request] of requests.entries()) {
    const allow = config.allow?.get(`${request.containerPort}/${request.protocol}`);
    if (allow !== undefined) requests[index] = { ...request, allow };
  }
  requests.sort((a, b) => a.protocol.localeCompare(b.protocol) || a.containerPort - b.containerPort);
  return { requests, exposed: [...exposed].sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || a.localeCompare(b)) };
}
