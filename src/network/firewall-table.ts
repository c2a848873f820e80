import type { SetElement } from "../linux/mod.ts";
import {
  type BridgeRules,
  bridgeElements,
  type Elements,
  elementText,
  forwardElements,
  type PortForward,
  type SetName,
} from "./firewall-elements.ts";
import type { Family } from "./ip.ts";

/** The chains that a whole table has, each with rules. */
export const CHAINS = [
  ...["guard", "prerouting", "output", "postrouting", "sending", "forward"],
  ...["severed", "only_allowed", "published", "directly", "openly", "leaving_closed", "entering", "midstream"],
];

function setText(name: SetName, type: string, elements: readonly string[], flags = ""): string {
  const kind = type.includes(" : ") ? "map" : "set";
  const list = elements.length === 0 ? "" : `\t\telements = { ${elements.join(", ")} }\n`;
  return `\t${kind} ${name} {\n\t\ttype ${type}\n${flags}${list}\t}`;
}

const INTERVAL = "\t\tflags interval\n";

/** A mark of packets, in the bits of a mask. */
export interface FirewallMark {
  readonly mark: number;
  readonly mask: number;
}

const hexText = (value: number): string => `0x${value.toString(16).padStart(8, "0")}`;

/** What others have marked comes to every port of containers (docker's `--bridge-accept-fwmark`). */
function markRules(accept: FirewallMark | undefined): string[] {
  return accept === undefined ? [] : [`meta mark & ${hexText(accept.mask)} == ${hexText(accept.mark)} accept`];
}

/**
 * The whole table of one family as an nft script that replaces a former one in one transaction, so that no packet meets half of it.
 * Everything that comes and goes is an element of a set: a network or a port costs no rule.
 *
 * ```
 * map ports         protocol . port            → container . port   published on every address
 * map host_ports    address . protocol . port  → container . port   published on one address
 * map port_ranges   address . protocol . port  → container          intervals that keep the port's number
 * set guarded, allowed    published ports with a list of sources, and the sources
 * set direct              container ports that are reached without translation
 * set cut                 container . protocol . port that was published once
 * set bridges             our bridges; own: with their subnets; talking: a bridge with itself, where its containers may talk
 * set closed              internal networks; unprotected, routed: gateway modes
 * set reachable           bridges whose published ports are reached without translation; trusted: by whom, interface . bridge
 * set masqueraded         bridges that go out with the host's address; map translated: with this one
 * chain guard       what route_localnet on a bridge would open: the host's 127.0.0.0/8; and the host's addresses for internal networks
 * chain prerouting, output   arriving and the host's own connections → container
 * chain postrouting          the host's address where an answer could not come back otherwise
 * chain severed     a UDP server that speaks to clients which were cut: with its port kept, their answers would come in again
 * chain forward              who reaches a container; says nothing about traffic of other interfaces
 * chain sending              what the host itself sends to containers
 * chain midstream            a packet from the middle of a connection that the kernel doesn't know, or has been told to forget: it would
 *                            begin to track it again, translations included
 * ```
 */
export function renderTable(
  table: { readonly name: string; readonly family: Family; readonly acceptMark?: FirewallMark | undefined },
  bridges: readonly BridgeRules[],
  forwards: readonly PortForward[],
): string {
  const { family, name } = table;
  const ip = family === 4 ? "ip" : "ip6";
  const address = family === 4 ? "ipv4_addr" : "ipv6_addr";
  const elements: Elements = {};
  for (const part of [forwardElements(forwards, family), ...bridges.map((b) => bridgeElements(b, family))]) {
    for (const [set, list] of Object.entries(part) as [SetName, SetElement[]][]) elements[set] = [...(elements[set] ?? []), ...list];
  }
  const set = (which: SetName, type: string, flags?: string): string =>
    setText(
      which,
      type,
      (elements[which] ?? []).map((e) => elementText(which, e, family)),
      flags,
    );
  const place = `${address} . inet_proto . inet_service`;
  const to = `${ip} daddr . meta l4proto . th dport`;
  const publish = [
    "fib daddr type != local return",
    "meta l4proto != { tcp, udp, sctp } return",
    `dnat ${ip} to ${to} map @host_ports`,
    `dnat ${ip} to meta l4proto . th dport map @ports`,
    `dnat to ${to} map @port_ranges`,
  ];
  const chain = (chainName: string, hook: string, rules: readonly string[]): string =>
    `\tchain ${chainName} {\n${hook === "" ? "" : `\t\ttype ${hook}; policy accept;\n`}${rules.map((r) => `\t\t${r}\n`).join("")}\t}`;
  const loopback = family === 4 ? "127.0.0.0/8" : "::1";
  const midstream = "ct state new tcp flags & (fin | syn | rst | ack) != syn jump midstream";
  // what neighbours find each other by
  const linkWide = family === 4 ? "{ 224.0.0.0/4, 255.255.255.255 }" : "{ fe80::/10, ff00::/8 }";
  return [
    `table ${ip} ${name} {\n}`,
    `delete table ${ip} ${name}`,
    `table ${ip} ${name} {`,
    set("ports", `inet_proto . inet_service : ${address} . inet_service`),
    set("host_ports", `${place} : ${address} . inet_service`),
    set("port_ranges", `${place} : ${address}`, INTERVAL),
    set("guarded", place),
    set("allowed", `${address} . ${place}`, INTERVAL),
    set("direct", place),
    set("cut", place),
    set("bridges", "ifname"),
    set("own", `ifname . ${address}`, INTERVAL),
    set("talking", "ifname . ifname"),
    set("closed", "ifname"),
    set("unprotected", "ifname"),
    set("routed", "ifname"),
    set("reachable", "ifname"),
    set("trusted", "ifname . ifname"),
    set("masqueraded", "ifname"),
    set("translated", `ifname : ${address}`),
    chain("guard", "filter hook prerouting priority -300", [
      `iifname @bridges ${ip} daddr ${loopback} drop`,
      `iifname @bridges ${ip} saddr ${loopback} drop`,
      // an internal network has its gateway and nothing else of the host
      `iifname @closed ${ip} daddr != ${linkWide} iifname . ${ip} daddr != @own drop`,
    ]),
    // a neighbour on the wire must not get at what is published on the loopback only
    chain("prerouting", "nat hook prerouting priority -100", [
      `iifname != "lo" ${ip} daddr ${loopback} return`,
      ...(family === 6 ? ["ip6 daddr fe80::/10 return"] : []),
      ...publish,
    ]),
    // the kernel routes nothing away from ::1, nor from one link to another: those connections are the daemon's to hand on
    chain("output", "nat hook output priority -100", [...(family === 6 ? ["ip6 daddr { ::1, fe80::/10 } return"] : []), ...publish]),
    chain("postrouting", "nat hook postrouting priority 100", [
      // between containers of one bridge; br_netfilter shows no incoming interface here
      `oifname . ${ip} saddr @own ct status dnat masquerade`,
      `oifname . ${ip} saddr @own return`,
      ...(family === 4 ? ["oifname @bridges ip saddr 127.0.0.0/8 ct status dnat masquerade"] : []),
      // a container of another network is seen by its own address
      "oifname @bridges ct status dnat return",
      `meta l4proto udp ${ip} saddr . meta l4proto . th sport @cut jump severed`,
      `snat to iifname map @translated`,
      "iifname @masqueraded masquerade",
    ]),
    chain("severed", "", [
      `${ip} daddr . ${ip} saddr . meta l4proto . th sport @allowed return`,
      `meta l4proto udp snat ${ip} to iifname map @translated:1024-65535 random`,
      "meta l4proto udp iifname @masqueraded masquerade to :1024-65535 random",
    ]),
    chain("only_allowed", "", [`${ip} saddr . ${to} @allowed accept`, "drop"]),
    chain("published", "", [`${to} @guarded goto only_allowed`, "accept"]),
    chain("directly", "", [`meta l4proto ${family === 4 ? "icmp" : "ipv6-icmp"} accept`, "goto openly"]),
    chain("openly", "", [`${to} @direct goto published`, "drop"]),
    chain("leaving_closed", "", ["iifname . oifname @talking accept", "drop"]),
    chain("entering", "", [
      "oifname @closed drop",
      ...markRules(table.acceptMark),
      "ct state established,related accept",
      "ct status dnat goto published",
      "iifname . oifname @talking accept",
      "oifname @unprotected goto published",
      "oifname @routed goto directly",
      // not from other networks of ours: those have the host's ports
      "iifname != @bridges oifname @reachable goto openly",
      "iifname . oifname @trusted goto openly",
      "drop",
    ]),
    chain("midstream", "", [`${ip} saddr . meta l4proto . th sport @cut reject with tcp reset`, `${to} @cut reject with tcp reset`]),
    chain("sending", "filter hook output priority 0", [midstream]),
    chain("forward", "filter hook forward priority 0", [
      midstream,
      "iifname @closed goto leaving_closed",
      "oifname @bridges goto entering",
    ]),
    "}",
    "",
  ].join("\n");
}
