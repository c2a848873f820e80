import { createHash } from "node:crypto";
import type { SetElement } from "../../linux/mod.ts";
import type { EgressPolicy } from "../../spec/engine/mod.ts";
import { disjoint, nameKey } from "../firewall-elements.ts";
import { type Family, ipBytes, lastOf, type Prefix, parseIp, parsePrefix } from "../ip.ts";

/** Where a container under a policy is plugged in. */
export interface PolicedPlace {
  /** Name of the bridge on the host, and of the port that leads to the container. */
  readonly bridge: string;
  readonly hostInterface: string;
  /** `02:42:…` */
  readonly mac: string;
  /** Of the container, as text. */
  readonly addresses: readonly string[];
  /** Of the network. */
  readonly subnets: readonly string[];
}

/**
 * Addresses at which clouds tell machines their credentials, and steer them: AWS (with its ECS and EKS), Google, Azure, Alibaba, Oracle.
 * No policy opens them.
 */
export const METADATA_ADDRESSES: Readonly<Record<Family, readonly string[]>> = {
  4: ["169.254.169.254", "169.254.170.2", "169.254.170.23", "168.63.129.16", "100.100.100.200", "192.0.0.192"],
  6: ["fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"],
};

/** Whether it is one of them, in the form of RFC 5952. */
export function isMetadata(address: string): boolean {
  return METADATA_ADDRESSES[familyOf(address)].includes(address);
}

/** What was denied is remembered so long after it was last tried. */
export const RECORD_MS = 24 * 3600 * 1000;
/** So many destinations are remembered, of all containers together. */
const MAX_RECORDS = 16_384;

/** A destination that was logged is not logged again for so long. */
const QUIET_SECONDS = 10;
/** What one container may have logged, so that none floods the host; more is only counted. */
const LOG_RATE = "1/second burst 20 packets";
const MAX_QUIET = 16_384;
/** Of a packet's bytes, for the log: its headers. */
const SNAP_BYTES = 128;

/** Prefixes of frames that are logged: not sent by the container's own address; sent to a neighbour, to be led on. */
export const FOREIGN_SENDER = "sender";
export const FOREIGN_ROUTER = "router";

export type InetSet =
  | "policed4"
  | "policed6"
  | "linked6"
  | "learning4"
  | "learning6"
  | "denials4"
  | "denials6"
  | "neighbours4"
  | "neighbours6"
  | "allowed4"
  | "allowed6";
export type BridgeSet = "ports" | "places4" | "places6" | "near4" | "near6";
export type EgressElements = {
  readonly inet: Partial<Record<InetSet, SetElement[]>>;
  readonly bridge: Partial<Record<BridgeSet, SetElement[]>>;
};
/** The sets that fill while a container runs. */
export const LIVE_SETS = ["names", "seen", "denied", "denied_other", "quiet", "quiet_other", "telling"] as const;

const ETHER_BYTES = 8;

const familyOf = (ip: string): Family => (ip.includes(":") ? 6 : 4);
const bytesOf = (ip: string): Uint8Array => ipBytes(parseIp(ip));
const joined = (...parts: readonly Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap((part) => [...part]));

function etherKey(mac: string): Uint8Array {
  const key = new Uint8Array(ETHER_BYTES);
  key.set(mac.split(":").map((byte) => Number.parseInt(byte, 16)));
  return key;
}

/** The link-local address that an interface gives itself: RFC 4291 appendix A. */
export function linkLocalOf(mac: string): Uint8Array {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = etherKey(mac);
  return Uint8Array.of(0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f);
}

function intervals(head: Uint8Array, prefixes: readonly Prefix[]): SetElement[] {
  return disjoint(prefixes).map(({ family, network, ...rest }) => ({
    key: joined(head, ipBytes({ family, value: network })),
    keyEnd: joined(head, ipBytes({ family, value: lastOf({ family, network, ...rest }) })),
  }));
}

/** What holds a container to its policy at one of its places. */
export function placeElements({ mode, networks }: EgressPolicy, place: PolicedPlace): EgressElements {
  const inet: Record<InetSet, SetElement[]> = {
    ...{ policed4: [], policed6: [], linked6: [], learning4: [], learning6: [], denials4: [], denials6: [] },
    ...{ neighbours4: [], neighbours6: [], allowed4: [], allowed6: [] },
  };
  const bridge: Record<BridgeSet, SetElement[]> = { ports: [], places4: [], places6: [], near4: [], near6: [] };
  const port = nameKey(place.hostInterface);
  const source = joined(port, etherKey(place.mac));
  for (const address of place.addresses) {
    const family = familyOf(address);
    const own = bytesOf(address);
    const of = (list: readonly string[]): Prefix[] => list.map(parsePrefix).filter((prefix) => prefix.family === family);
    inet[`policed${family}`].push({ key: own });
    inet[`denials${family}`].push({ key: own });
    if (mode === "learn") inet[`learning${family}`].push({ key: own });
    inet[`neighbours${family}`].push(...intervals(own, of(place.subnets)));
    inet[`allowed${family}`].push(...intervals(own, of(networks)));
    if (mode === "learn") continue;
    bridge[`places${family}`].push({ key: joined(source, own) });
    bridge[`near${family}`].push(...intervals(port, of(place.subnets)));
    if (family === 4) continue;
    const linkLocal = linkLocalOf(place.mac);
    bridge.places6.push({ key: joined(source, linkLocal) });
    inet.linked6.push({ key: joined(nameKey(place.bridge), linkLocal) });
  }
  if (mode === "enforce") bridge.ports.push({ key: port });
  return { inet, bridge };
}

/** What no router forwards: a network's own business. Bridged frames pass the chain `forward`, too, where the host has br_netfilter. */
const ON_LINK: Readonly<Record<Family, string>> = { 4: "224.0.0.0/24, 255.255.255.255", 6: "fe80::/10, ff01::/16, ff02::/16" };

const TRANSPORTS = "{ tcp, udp, sctp, dccp }";

function familySets(family: Family): string {
  const address = `ipv${family}_addr`;
  const pair = `type ${address} . ${address}`;
  const record = `size ${MAX_RECORDS}; flags dynamic, timeout; timeout ${RECORD_MS / 1000}s; counter;`;
  const quiet = `size ${MAX_QUIET}; flags dynamic, timeout; timeout ${QUIET_SECONDS}s;`;
  return `
	set policed${family} { type ${address}; counter; }
	set learning${family} { type ${address}; }
	set denials${family} { type ${address}; counter; }
	set neighbours${family} { ${pair}; flags interval; }
	set allowed${family} { ${pair}; flags interval; }
	set names${family} { ${pair}; flags timeout; }
	set seen${family} { ${pair}; flags timeout; }
	set denied${family} { ${pair} . inet_proto . inet_service; ${record} }
	set denied_other${family} { ${pair} . inet_proto; ${record} }
	set quiet${family} { ${pair} . inet_proto . inet_service; ${quiet} }
	set quiet_other${family} { ${pair} . inet_proto; ${quiet} }
	set telling${family} { type ${address}; size ${MAX_QUIET}; flags dynamic, timeout; timeout 60s; }
	set metadata${family} { type ${address}; elements = { ${METADATA_ADDRESSES[family].join(", ")} }; }`;
}

function familyChains(family: Family, logGroup: number | undefined): string {
  const ip = family === 4 ? "ip" : "ip6";
  const icmp = family === 4 ? "icmp" : "ipv6-icmp";
  const asked = `${ip} saddr . ct original ${ip} daddr`;
  const [destination, other] = [`${asked} . meta l4proto . ct original proto-dst`, `${asked} . meta l4proto`];
  const steered = family === 4 ? ["ip option lsrr exists goto deny4", "ip option ssrr exists goto deny4"] : ["exthdr rt exists goto deny6"];
  const answers = [
    ...steered,
    // who came in is answered, wherever from: Azure's probes come from where its metadata are
    "ct state established ct direction reply accept",
    `ct original ${ip} daddr @metadata${family} goto deny${family}`,
    `${ip} daddr @metadata${family} goto deny${family}`,
    "ct state established accept",
    `ct state related meta l4proto ${icmp} accept`,
  ];
  const chain = (name: string, rules: readonly string[]): string => `\n\tchain ${name} {\n${rules.map((r) => `\t\t${r}\n`).join("")}\t}`;
  const neighbourly = ["icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept"];
  const tell = [
    `meta l4proto ${TRANSPORTS} ${destination} @quiet${family} return`,
    `meta l4proto != ${TRANSPORTS} ${other} @quiet_other${family} return`,
    `update @telling${family} { ${ip} saddr limit rate over ${LOG_RATE} } return`,
    `meta l4proto ${TRANSPORTS} add @quiet${family} { ${destination} }`,
    `meta l4proto != ${TRANSPORTS} add @quiet_other${family} { ${other} }`,
    `log group ${logGroup} snaplen ${SNAP_BYTES}`,
  ];
  return [
    ...(logGroup === undefined ? [] : [chain(`tell${family}`, tell)]),
    chain(`deny${family}`, [
      `${ip} saddr @denials${family} continue`,
      `meta l4proto ${TRANSPORTS} update @denied${family} { ${destination} }`,
      `meta l4proto != ${TRANSPORTS} update @denied_other${family} { ${other} }`,
      ...(logGroup === undefined ? [] : [`jump tell${family}`]),
      `ct original ${ip} daddr @metadata${family} goto refuse`,
      `${ip} daddr @metadata${family} goto refuse`,
      `${ip} saddr @learning${family} accept`,
      "goto refuse",
    ]),
    chain(`leaving${family}`, [
      ...answers,
      `${ip} daddr { ${ON_LINK[family]} } accept`,
      `${ip} saddr . ${ip} daddr @neighbours${family} accept`,
      `${asked} @allowed${family} accept`,
      `${asked} @names${family} accept`,
      `goto deny${family}`,
    ]),
    chain(`visiting${family}`, [
      ...answers,
      ...(family === 6 ? neighbourly : []),
      "meta pkttype { broadcast, multicast } drop",
      `${asked} @allowed${family} accept`,
      `goto deny${family}`,
    ]),
    ...(family === 6 ? [chain("visiting_link", ["ct state established accept", ...neighbourly, "drop"])] : []),
  ].join("");
}

function bridgeChains(family: Family): readonly string[] {
  const ip = family === 4 ? "ip" : "ip6";
  return [`iifname . ${ip} daddr @near${family} accept`, `${ip} daddr { ${ON_LINK[family]} } accept`];
}

/** Drops a frame; the first one of a port in a while is logged. */
function dropTold(prefix: string, logGroup: number | undefined): string {
  if (logGroup === undefined) return "drop";
  return [
    "iifname @quiet drop",
    // an interface that makes sure of its address
    "ip6 saddr :: drop",
    "add @quiet { iifname }",
    `log group ${logGroup} snaplen ${SNAP_BYTES} prefix "${prefix}"`,
    "drop",
  ].join("\n\t\t");
}

/**
 * The tables of egress policies as an nft script, in place of former ones. They are apart from the daemon's other table, which is made anew
 * at each of its starts: what is in these stays, names with the time that they have left, and what was denied. Denied packets are logged to
 * `logGroup`; undefined: the kernel can't.
 *
 * ```
 * table inet    who may reach what; `4` and `6` are of the families
 *   set policed        addresses under a policy, with all packets that began there; linked: link-local ones, by bridge
 *   set learning       those that are not held to it; denials: with the packets that it denies
 *   set neighbours     address . network: where its own networks are
 *   set allowed        address . network of the list
 *   set names          address . address of an allowed name, for as long as the name server said; seen: of a name not allowed, in learn mode
 *   set denied         address . destination . protocol . port; denied_other: of protocols without ports
 *   set quiet          address . destination . protocol . port that was logged a moment ago; telling: who is held to a rate of that
 *   set metadata       never reached
 *   chain forward, input       → leaving, visiting (a service of the host) → deny → tell (the daemon, by nfnetlink_log)
 * table bridge  what gets in by the port of a container that is held to a policy
 *   set places         port . MAC . address: nobody sends by another's name; near: port . network, for frames that the host doesn't route
 *   set quiet          ports of which a frame was logged a moment ago
 * ```
 */
export function renderEgress(table: string, logGroup: number | undefined): string {
  const body = `
table inet ${table} {${familySets(4)}${familySets(6)}
	set linked6 { type ifname . ipv6_addr; }
	chain refuse {
		meta l4proto tcp reject with tcp reset
		reject with icmpx admin-prohibited
	}${familyChains(4, logGroup)}${familyChains(6, logGroup)}
	chain forward {
		type filter hook forward priority -10; policy accept;
		ip saddr @policed4 goto leaving4
		ip6 saddr @policed6 goto leaving6
	}
	chain input {
		type filter hook input priority -10; policy accept;
		ip saddr @policed4 goto visiting4
		ip6 saddr @policed6 goto visiting6
		iifname . ip6 saddr @linked6 goto visiting_link
	}
	chain VERSION {
	}
}
table bridge ${table} {
	set ports { type ifname; }
	set places4 { type ifname . ether_addr . ipv4_addr; }
	set places6 { type ifname . ether_addr . ipv6_addr; }
	set near4 { type ifname . ipv4_addr; flags interval; }
	set near6 { type ifname . ipv6_addr; flags interval; }
	set quiet { type ifname; size ${MAX_QUIET}; flags dynamic, timeout; timeout ${QUIET_SECONDS}s; }
	chain entering {
		ether type ip iifname . ether saddr . ip saddr @places4 accept
		ether type arp iifname . ether saddr . arp saddr ip @places4 accept
		ether type ip6 iifname . ether saddr . ip6 saddr @places6 accept
		${dropTold(FOREIGN_SENDER, logGroup)}
	}
	chain passing {
		ether type arp accept
		${[...bridgeChains(4), ...bridgeChains(6)].join("\n\t\t")}
		${dropTold(FOREIGN_ROUTER, logGroup)}
	}
	chain prerouting {
		type filter hook prerouting priority -300; policy accept;
		iifname @ports goto entering
	}
	chain forward {
		type filter hook forward priority -200; policy accept;
		iifname @ports goto passing
	}
}
`;
  const former = ["inet", "bridge"].map((family) => `table ${family} ${table} {\n}\ndelete table ${family} ${table}\n`).join("");
  return former + body.replace("VERSION", versionOf(body));
}

/** Name of an empty chain that tells which rules a table has. */
export function egressVersion(table: string, logGroup: number | undefined): string {
  return /chain (version_[0-9a-f]+)/.exec(renderEgress(table, logGroup))?.[1] ?? "";
}

/** The group of nfnetlink_log that a table logs to: the same for each daemon of a name, another for each name. */
export function logGroupOf(table: string): number {
  const MIN_GROUP = 1024;
  return MIN_GROUP + (createHash("sha256").update(table).digest().readUInt32BE(0) % (65_536 - MIN_GROUP));
}

function versionOf(body: string): string {
  return `version_${createHash("sha256").update(body).digest("hex").slice(0, 12)}`;
}
