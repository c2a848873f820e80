import type { PortSummary } from "../../spec/engine/mod.ts";

interface Range {
  first: number;
  last: number;
}

/** `host:port`, with brackets around IPv6. */
export function joinHostPort(host: string, port: number | string): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

function rangeText(key: string, { first, last }: Range): string {
  const [a = "", b] = key.split("/");
  const numbers = first === last ? String(first) : `${first}-${last}`;
  return b === undefined ? `${numbers}/${a}` : `${joinHostPort(a, numbers)}->${numbers}/${b}`;
}

/** A container's ports in one line, neighbours as ranges: `0.0.0.0:80-81->80-81/tcp, 443/tcp`. */
export function displayablePorts(ports: readonly PortSummary[]): string {
  const sorted = [...ports].sort(
    (a, b) =>
      (a.PrivatePort ?? 0) - (b.PrivatePort ?? 0) ||
      compare(a.IP ?? "", b.IP ?? "") ||
      (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
      compare(a.Type ?? "", b.Type ?? ""),
  );
  const groups = new Map<string, Range>();
  const result: string[] = [];
  const mappings: string[] = [];
  for (const { IP = "", PrivatePort = 0, PublicPort = 0, Type = "" } of sorted) {
    let key: string = Type;
    if (IP !== "") {
      if (PublicPort !== PrivatePort) {
        mappings.push(`${joinHostPort(IP, PublicPort)}->${PrivatePort}/${Type}`);
        continue;
      }
      key = `${IP}/${Type}`;
    }
    const group = groups.get(key);
    if (group !== undefined && PrivatePort === group.last + 1) group.last = PrivatePort;
    else {
      if (group !== undefined) result.push(rangeText(key, group));
      groups.set(key, { first: PrivatePort, last: PrivatePort });
    }
  }
  for (const [key, group] of groups) result.push(rangeText(key, group));
  return [...result, ...mappings].join(", ");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
