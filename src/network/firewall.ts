import { DhowError } from "../lib/mod.ts";
import { changeSets, deleteTable, isErrno, type NetlinkSocket, NFPROTO, type SetChange, type SetElement } from "../linux/mod.ts";
import { type Cidr, formatCidr, ipv4Bytes, parseIpv4 } from "./ipv4.ts";
import type { PortProtocol } from "./port-specs.ts";

/** A published IPv4 port: what arrives at `hostIp`:`hostPort` goes to `containerIp`:`containerPort`. */
export interface PortForward {
  readonly protocol: PortProtocol;
  /** `0.0.0.0` = every address of the host. */
  readonly hostIp: string;
  readonly hostPort: number;
  /** A number in host order. */
  readonly containerIp: number;
  readonly containerPort: number;
}

export interface FirewallOptions {
  readonly tableName: string;
  readonly bridgeName: string;
  readonly subnet: Cidr;
  /** Whether containers of the bridge reach each other. */
  readonly icc: boolean;
  /** Whether containers go out with an address of the host. */
  readonly masquerade: boolean;
}

const PROTOCOL = { tcp: 6, udp: 17, sctp: 132 } as const;
const PROTOCOL_NAME = { 6: "tcp", 17: "udp", 132: "sctp" } as const;
const CHAINS = ["guard", "prerouting", "output", "postrouting", "forward"];
/** From so many consecutive ports on, that keep their number, one interval takes the place of single elements. */
const RANGE_MIN = 3;

const pad = (value: number, bytes: number): number[] => (bytes === 1 ? [value, 0, 0, 0] : [value >> 8, value & 255, 0, 0]);

function anyKey(protocol: PortProtocol, port: number): Uint8Array {
  return Uint8Array.from([...pad(PROTOCOL[protocol], 1), ...pad(port, 2)]);
}

function hostKey(address: number, protocol: PortProtocol, port: number): Uint8Array {
  return Uint8Array.from([...ipv4Bytes(address), ...anyKey(protocol, port)]);
}

const isAny = (ip: string): boolean => ip === "0.0.0.0";

type MapName = "ports" | "host_ports" | "port_ranges";

/** Which elements of which maps publish `forwards`. Runs of ports that keep their number become one interval. */
export function elementsOf(forwards: readonly PortForward[]): Record<MapName, SetElement[]> {
  const out: Record<MapName, SetElement[]> = { ports: [], host_ports: [], port_ranges: [] };
  const sorted = [...forwards].sort(
    (a, b) => a.protocol.localeCompare(b.protocol) || a.hostIp.localeCompare(b.hostIp) || a.hostPort - b.hostPort,
  );
  for (let i = 0; i < sorted.length; ) {
    const run = runAt(sorted, i);
    const first = sorted[i];
    if (first === undefined) break;
    if (run >= RANGE_MIN) out.port_ranges.push(rangeElement(first, run));
    else for (const f of sorted.slice(i, i + run)) pushSingle(out, f);
    i += run;
  }
  return out;
}

function runAt(sorted: readonly PortForward[], at: number): number {
  const first = sorted[at];
  if (first === undefined || first.hostPort !== first.containerPort) return 1;
  let n = 1;
  for (let next = sorted[at + n]; next !== undefined; next = sorted[at + n]) {
    const isSame = next.protocol === first.protocol && next.hostIp === first.hostIp && next.containerIp === first.containerIp;
    if (!isSame || next.hostPort !== first.hostPort + n || next.containerPort !== next.hostPort) break;
    n++;
  }
  return n;
}

function rangeElement(first: PortForward, count: number): SetElement {
  const last = first.hostPort + count - 1;
  const from = isAny(first.hostIp) ? 0 : parseIpv4(first.hostIp);
  const to = isAny(first.hostIp) ? 0xffffffff : from;
  return {
    key: hostKey(from, first.protocol, first.hostPort),
    keyEnd: hostKey(to, first.protocol, last),
    data: ipv4Bytes(first.containerIp),
  };
}

function pushSingle(out: Record<MapName, SetElement[]>, f: PortForward): void {
  const data = Uint8Array.from([...ipv4Bytes(f.containerIp), ...pad(f.containerPort, 2)]);
  if (isAny(f.hostIp)) out.ports.push({ key: anyKey(f.protocol, f.hostPort), data });
  else out.host_ports.push({ key: hostKey(parseIpv4(f.hostIp), f.protocol, f.hostPort), data });
}

function changesOf(verb: "add" | "delete", forwards: readonly PortForward[]): SetChange[] {
  return Object.entries(elementsOf(forwards)).map(([set, elements]) => ({ verb, set, elements }));
}

function ipText(bytes: Uint8Array): string {
  return bytes.subarray(0, 4).join(".");
}

const port = (bytes: Uint8Array, at: number): number => ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
const protocolText = (value: number | undefined): string => (value === 17 || value === 132 ? PROTOCOL_NAME[value] : "tcp");

function elementText(map: MapName, { key, keyEnd, data = new Uint8Array(8) }: SetElement): string {
  if (map === "ports") return `${protocolText(key[0])} . ${port(key, 4)} : ${ipText(data)} . ${port(data, 4)}`;
  if (map === "host_ports") return `${ipText(key)} . ${protocolText(key[4])} . ${port(key, 8)} : ${ipText(data)} . ${port(data, 4)}`;
  const end = keyEnd ?? key;
  const range = ipText(key) === ipText(end) ? ipText(key) : "0.0.0.0/0";
  return `${range} . ${protocolText(key[4])} . ${port(key, 8)}-${port(end, 8)} : ${ipText(data)}`;
}

/**
 * The whole table as an nft script that replaces a former one in one transaction, so that no packet meets half of it.
 *
 * ```
 * map ports         protocol . port            → container . port   published on every address
 * map host_ports    address . protocol . port  → container . port   published on one address
 * map port_ranges   address . protocol . port  → container          intervals that keep the port's number
 * chain guard       what route_localnet on the bridge would open: the host's 127.0.0.0/8
 * chain prerouting, output   arriving and the host's own connections → container
 * chain postrouting          the host's address where an answer could not come back otherwise
 * chain forward              who reaches a container; says nothing about traffic of other interfaces
 * ```
 */
export function renderTable(options: FirewallOptions, forwards: readonly PortForward[]): string {
  const { tableName, bridgeName, icc } = options;
  const subnet = formatCidr(options.subnet);
  const br = JSON.stringify(bridgeName);
  const elements = elementsOf(forwards);
  const map = (name: MapName, type: string, flags = ""): string => {
    const list = elements[name].map((e) => elementText(name, e)).join(", ");
    return `\tmap ${name} {\n\t\ttype ${type}\n${flags}${list === "" ? "" : `\t\telements = { ${list} }\n`}\t}`;
  };
  const publish = [
    "fib daddr type != local return",
    "meta l4proto != { tcp, udp, sctp } return",
    "dnat ip to ip daddr . meta l4proto . th dport map @host_ports",
    "dnat ip to meta l4proto . th dport map @ports",
    "dnat to ip daddr . meta l4proto . th dport map @port_ranges",
  ];
  const chain = (name: string, hook: string, rules: readonly string[]): string =>
    `\tchain ${name} {\n\t\ttype ${hook}; policy accept;\n${rules.map((r) => `\t\t${r}\n`).join("")}\t}`;
  return [
    `table ip ${tableName} {\n}`,
    `delete table ip ${tableName}`,
    `table ip ${tableName} {`,
    map("ports", "inet_proto . inet_service : ipv4_addr . inet_service"),
    map("host_ports", "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service"),
    map("port_ranges", "ipv4_addr . inet_proto . inet_service : ipv4_addr", "\t\tflags interval\n"),
    chain("guard", "filter hook prerouting priority -300", [
      `iifname ${br} ip daddr 127.0.0.0/8 drop`,
      `iifname ${br} ip saddr 127.0.0.0/8 drop`,
    ]),
    // a neighbour on the wire must not get at what is published on 127.0.0.1 only
    chain("prerouting", "nat hook prerouting priority -100", ['iifname != "lo" ip daddr 127.0.0.0/8 return', ...publish]),
    chain("output", "nat hook output priority -100", publish),
    chain("postrouting", "nat hook postrouting priority 100", [
      `oifname ${br} ct status dnat ip saddr { 127.0.0.0/8, ${subnet} } masquerade`,
      ...(options.masquerade ? [`oifname != ${br} ip saddr ${subnet} masquerade`] : []),
    ]),
    chain("forward", "filter hook forward priority 0", [
      `oifname ${br} ct state established,related accept`,
      `oifname ${br} ct status dnat accept`,
      `iifname ${br} oifname ${br} ${icc ? "accept" : "drop"}`,
      `oifname ${br} drop`,
    ]),
    "}",
    "",
  ].join("\n");
}

/** The nft table of one daemon: whole at its start, then element by element over netlink. */
export class Firewall {
  readonly #options: FirewallOptions;
  readonly #netfilter: NetlinkSocket;

  constructor(options: FirewallOptions, netfilter: NetlinkSocket) {
    this.#options = options;
    this.#netfilter = netfilter;
  }

  get #table(): { readonly family: number; readonly name: string } {
    return { family: NFPROTO.IPV4, name: this.#options.tableName };
  }

  /** Makes the table, or replaces it in one transaction. Spawns nft(8). @throws unavailable */
  install(forwards: readonly PortForward[]): void {
    runNft(renderTable(this.#options, forwards));
  }

  /** Publishes; all or nothing. When somebody deleted the table, `rebuild` says what it must hold and it is made anew. @throws {NetlinkError} */
  publish(forwards: readonly PortForward[], rebuild: () => readonly PortForward[]): void {
    try {
      changeSets(this.#netfilter, this.#table, changesOf("add", forwards));
    } catch (error) {
      if (!isErrno(error, "ENOENT", "EEXIST")) throw error;
      this.install([...rebuild(), ...forwards]);
    }
  }

  /** Takes back what `publish` did, `forwards` being the same. Gone already: nothing. @throws {NetlinkError} */
  unpublish(forwards: readonly PortForward[]): void {
    try {
      changeSets(this.#netfilter, this.#table, changesOf("delete", forwards));
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }

  /**
   * The elements of the table as it is in the kernel, in a form to compare with `elementKeys`; undefined when there is no whole table.
   * Spawns nft(8). @throws unavailable when that is not there
   */
  async read(): Promise<ReadonlySet<string> | undefined> {
    return readElements(this.#options.tableName);
  }

  /** Removes the table. */
  uninstall(): void {
    try {
      deleteTable(this.#netfilter, this.#table);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
    }
  }
}

/** The elements that publish `forwards`, as `Firewall.read` shows them. */
export function elementKeys(forwards: readonly PortForward[]): Set<string> {
  const elements = Object.entries(elementsOf(forwards)) as [MapName, SetElement[]][];
  return new Set(elements.flatMap(([map, list]) => list.map((element) => `${map} ${elementText(map, element)}`)));
}

type NftValue = string | number | { readonly [key: string]: NftValue } | readonly NftValue[];
interface NftMap {
  readonly name?: string;
  readonly elem?: readonly (readonly [NftValue, NftValue])[];
}

/** An nft value of `nft -j` as nft's own language has it. */
function nftText(value: NftValue): string {
  if (typeof value !== "object") return String(value);
  if (Array.isArray(value)) return value.map(nftText).join("-");
  const { concat, range, prefix } = value as Readonly<Record<string, NftValue>>;
  if (Array.isArray(concat)) return concat.map(nftText).join(" . ");
  if (Array.isArray(range)) return range.map(nftText).join("-");
  if (typeof prefix === "object" && "addr" in prefix) return `${nftText(prefix["addr"] ?? "")}/${nftText(prefix["len"] ?? "")}`;
  return JSON.stringify(value);
}

async function readElements(tableName: string): Promise<ReadonlySet<string> | undefined> {
  const text = await output(["nft", "-j", "-n", "list", "table", "ip", tableName]);
  if (text === "") return undefined;
  const { nftables } = JSON.parse(text) as { readonly nftables: readonly { readonly map?: NftMap; readonly chain?: NftChain }[] };
  const chains = new Set(nftables.flatMap(({ chain }) => chain?.name ?? []));
  if (!CHAINS.every((name) => chains.has(name))) return undefined;
  return new Set(
    nftables.flatMap(({ map }) => (map?.elem ?? []).map(([key, data]) => `${map?.name} ${protocolNames(nftText(key))} : ${nftText(data)}`)),
  );
}

/** nft -n prints protocols as numbers. */
function protocolNames(key: string): string {
  const parts = key.split(" . ");
  const at = parts.length === 2 ? 0 : 1;
  return parts.map((part, index) => (index === at && /^\d+$/.test(part) ? protocolText(Number(part)) : part)).join(" . ");
}

function runNft(script: string): void {
  let result: ReturnType<typeof Bun.spawnSync>;
  try {
    result = Bun.spawnSync(["nft", "-f", "-"], { stdin: Buffer.from(script), stdout: "ignore", stderr: "pipe" });
  } catch (cause) {
    throw new DhowError("unavailable", "run nft: it is not there; install the package nftables", { cause });
  }
  if (result.exitCode !== 0)
    throw new DhowError("unavailable", `load the nft table: ${result.stderr?.toString().trim() || `exit code ${result.exitCode}`}`);
}

interface NftChain {
  readonly family?: string;
  readonly table?: string;
  readonly name?: string;
  readonly hook?: string;
  readonly policy?: string;
}

async function output(command: readonly string[]): Promise<string> {
  try {
    const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
    const text = await child.stdout.text();
    return (await child.exited) === 0 ? text : "";
  } catch {
    return "";
  }
}

/** Other people's chains that drop forwarded packets by policy: an accept of ours does not overrule them. One sentence each. */
export async function foreignDrops(tableName: string, bridgeName: string): Promise<string[]> {
  const warnings: string[] = [];
  const text = await output(["nft", "-j", "list", "chains"]);
  const parsed = (text === "" ? { nftables: [] } : JSON.parse(text)) as { readonly nftables: readonly { readonly chain?: NftChain }[] };
  for (const { chain } of parsed.nftables) {
    if (chain?.hook !== "forward" || chain.policy !== "drop" || chain.table === tableName) continue;
    if (chain.family !== "ip" && chain.family !== "inet") continue;
    warnings.push(
      `chain ${chain.name} of table ${chain.family} ${chain.table} drops forwarded packets that no rule of its own accepts: containers of ${bridgeName} may be cut off; accept the interface ${bridgeName} there`,
    );
  }
  if ((await output(["iptables-legacy", "-S", "FORWARD"])).includes("-P FORWARD DROP")) {
    warnings.push(
      `iptables (legacy) drops forwarded packets by policy: containers of ${bridgeName} may be cut off; accept the interface ${bridgeName} there`,
    );
  }
  return warnings;
}
