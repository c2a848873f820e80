import { isIP } from "node:net";
import type { PortRemoval } from "../../spec/engine/mod.ts";

const MAX_PORT = 65535;

/** A port of the container and where on the host it is published; no `hostPort` = any. */
export interface PortMapping {
  /** `80/tcp` */
  readonly port: string;
  readonly hostIp: string;
  readonly hostPort: string;
}

function rangeOf(text: string): readonly [number, number] | undefined {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (!match || first > MAX_PORT || last > MAX_PORT || last < first) return undefined;
  return [first, last];
}

/** `[ip:][host[-host]:]container[-container]` in three parts; an IPv6 address may have brackets. */
function splitSpec(text: string): readonly [string, string, string] {
  const parts = text.split(":");
  const container = parts.pop() ?? "";
  const host = parts.pop() ?? "";
  return [parts.join(":"), host, container];
}

/** Docker's `-p`: every mapping of a range. @throws Error in docker's words */
export function parsePublish(text: string): readonly PortMapping[] {
  const [rawIp, hostText, rest] = splitSpec(text);
  const [containerText = "", proto = "tcp"] = rest.split("/");
  const ip = rawIp.startsWith("[") && rawIp.endsWith("]") ? rawIp.slice(1, -1) : rawIp;
  if (rawIp !== "" && isIP(ip) === 0) throw new Error(`invalid IP address: ${rawIp}`);
  if (containerText === "") throw new Error(`no port specified: ${text}<empty>`);
  const container = rangeOf(containerText);
  if (container === undefined) throw new Error(`invalid containerPort: ${containerText}`);
  const host = hostText === "" ? undefined : rangeOf(hostText);
  if (hostText !== "" && host === undefined) throw new Error(`invalid hostPort: ${hostText}`);
  const protocol = proto.toLowerCase();
  if (rest.includes("/") && !["tcp", "udp", "sctp"].includes(protocol)) throw new Error(`invalid proto: ${proto}`);
  const count = container[1] - container[0] + 1;
  if (host !== undefined && host[1] - host[0] + 1 !== count && count !== 1) {
    throw new Error(`invalid ranges specified for container and host Ports: ${containerText} and ${hostText}`);
  }
  return Array.from({ length: count }, (_, i): PortMapping => {
    let hostPort = host === undefined ? "" : String(host[0] + i);
    if (host !== undefined && count === 1 && host[1] !== host[0]) hostPort = hostText;
    return { port: `${container[0] + i}/${protocol}`, hostIp: ip, hostPort };
  });
}

/** A mapping and the sources behind it: `8080:80,allow=10.0.0.0/8,192.0.2.1`. */
export function splitAllow(text: string): { readonly mapping: string; readonly sources: readonly string[] } {
  const at = text.indexOf(",allow=");
  if (at < 0) return { mapping: text, sources: [] };
  const sources = text
    .slice(at + 1)
    .split(",")
    .map((item) => item.replace(/^allow=/, ""));
  return { mapping: text.slice(0, at), sources };
}

/**
 * What a removal of published ports names: any form of `-p`, or the ports of the host alone, `[ip:]host[-host][/protocol]`. A single number is
 * one of the host's, other than with `-p`; a list of sources doesn't matter. @throws Error in docker's words
 */
export function parseUnpublish(text: string): readonly PortRemoval[] {
  const { mapping } = splitAllow(text);
  const alone = /^(?:([\d.]+|\[[^\]]*\]):)?(\d+(?:-\d+)?)(?:\/(.*))?$/.exec(mapping);
  if (alone === null || /^\d+$/.test(alone[1] ?? "")) {
    return parsePublish(shortPublish(mapping)).map(({ port, hostIp, hostPort }): PortRemoval => {
      const [number, Protocol] = port.split("/");
      return { HostIp: hostIp, HostPort: hostPort === "0" ? "" : hostPort, ContainerPort: Number(number), Protocol };
    });
  }
  const [, rawIp = "", HostPort = "", proto = "tcp"] = alone;
  // the same text with a port of the container is judged, and then left without it
  const [{ hostIp, port } = { hostIp: "", port: "" }] = parsePublish(`${rawIp}:${HostPort}:1/${proto}`);
  return [{ HostIp: hostIp, HostPort, Protocol: port.slice(port.indexOf("/") + 1) }];
}

/** `published=80,target=80,protocol=tcp,mode=host` in the short form. @throws Error in docker's words */
export function shortPublish(text: string): string {
  if (!text.includes("=")) return text;
  const values: Record<string, string> = { protocol: "tcp" };
  for (const field of text.split(",")) {
    const at = field.indexOf("=");
    if (at <= 0 || field.indexOf("=", at + 1) > 0) throw new Error(`invalid publish opts format (should be name=value but got '${field}')`);
    values[field.slice(0, at)] = field.slice(at + 1);
  }
  const { target = "", published = "", protocol = "" } = values;
  return published === "" ? `${target}/${protocol}` : `${published}:${target}/${protocol}`;
}

/** Mistakes are found later, together: `-p` itself takes any text. */
export function checkPublish(text: string): string {
  return text;
}

/** The ports of an `--expose`: `80`, `80-82/udp`. @throws Error in docker's words */
export function parseExpose(text: string): readonly string[] {
  if (text.includes(":")) throw new Error(`invalid port format for --expose: ${text}`);
  const [numbers = "", proto = "tcp"] = text.split("/");
  const range = rangeOf(numbers);
  if (range === undefined) {
    const reason =
      numbers === ""
        ? "empty string specified for ports"
        : `strconv.ParseUint: parsing ${JSON.stringify(numbers.split("-")[0])}: invalid syntax`;
    throw new Error(`invalid range format for --expose: ${text}, error: ${reason}`);
  }
  return Array.from({ length: range[1] - range[0] + 1 }, (_, i) => `${range[0] + i}/${proto.toLowerCase()}`);
}
