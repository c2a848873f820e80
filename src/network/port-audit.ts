import { setImmediate as pause } from "node:timers/promises";
import { isLoopback } from "./container-files.ts";
import { bitsOf, type Family, formatIp, parseIp } from "./ip.ts";
import type { PortProtocol } from "./port-specs.ts";
import type { RulesetChain } from "./ruleset.ts";
import { type AddressRange, type ProbePacket, rangeOf } from "./ruleset-match.ts";
import type { DecidingRule, Decision, RulesetWalk } from "./ruleset-walk.ts";

/** A published port as it is to be looked at. */
export interface PublishedPlace {
  readonly containerId: string;
  readonly network: string;
  /** Of the network on this host. */
  readonly bridge: string;
  readonly protocol: PortProtocol;
  readonly hostIp: string;
  /** 0: the container's own address takes connections. */
  readonly hostPort: number;
  readonly containerIp: string;
  readonly containerPort: number;
  readonly allow: readonly string[] | undefined;
  /** IPv6 clients of a container without IPv6: the daemon serves them. */
  readonly isByDaemon: boolean;
}

/** A bridge whose containers may use published ports. */
export interface BridgePlace {
  readonly network: string;
  readonly bridge: string;
  readonly subnets: readonly string[];
}

/** The host around the ports. */
export interface AuditSurroundings {
  readonly walk: RulesetWalk;
  /** Name of the daemon's own tables. */
  readonly tableName: string;
  readonly bridges: readonly BridgePlace[];
  /** Interfaces by which others come. */
  readonly outside: readonly string[];
  /** Bridges of others on this host. */
  readonly neighbours: readonly string[];
}

/** Whether some senders come through, and which rule says so. */
export interface PortReach extends Decision {
  readonly from: "outside" | "containers" | "neighbours" | "host";
  /** Interfaces that they come by, or networks that they are on. */
  readonly by: readonly string[];
  /** Networks; `any`, `any other`. */
  readonly sources: readonly string[];
}

export interface AuditedPort extends PublishedPlace {
  readonly reach: readonly PortReach[];
}

/** Where destinations are translated. */
const DSTNAT = -100;

/** Tells who can reach published ports, as far as the rules of the host can be told. */
export async function auditPorts(ports: readonly PublishedPlace[], host: AuditSurroundings): Promise<AuditedPort[]> {
  const audited: AuditedPort[] = [];
  for (const port of ports) {
    audited.push({ ...port, reach: reachOf(port, host) });
    // hundreds of ports are not to hold anybody up
    await pause();
  }
  return audited;
}

function reachOf(port: PublishedPlace, host: AuditSurroundings): PortReach[] {
  return [
    ...interfaceReach(port, host, "outside"),
    ...containerReach(port, host),
    ...interfaceReach(port, host, "neighbours"),
    hostReach(port, host),
  ];
}

const familyOf = (ip: string): Family => (ip.includes(":") ? 6 : 4);

/** Clients speak the family of the host's address. */
function familyOfClients({ hostIp, hostPort, containerIp }: PublishedPlace): Family {
  return familyOf(hostPort === 0 ? containerIp : hostIp);
}

function interfaceReach(port: PublishedPlace, host: AuditSurroundings, from: "outside" | "neighbours"): PortReach[] {
  const family = familyOfClients(port);
  const [loopback] = rangesOf([family === 4 ? "127.0.0.0/8" : "::1/128"]);
  // the kernel takes nothing that says it comes from there
  const ranges = host.walk
    .sources(family, rangesOf(port.allow ?? []))
    .filter(({ first, last }) => !(loopback && loopback.first <= first && last <= loopback.last));
  const byResult = new Map<string, { readonly by: string[]; readonly groups: readonly SourceGroup[] }>();
  for (const name of host[from]) {
    const groups = group(ranges.map((source) => ({ source, decision: decide(port, host, { inInterface: name, source }) })));
    const key = JSON.stringify(groups.map(({ sources, decision }) => [sources, decision]));
    const known = byResult.get(key);
    if (known) known.by.push(name);
    else byResult.set(key, { by: [name], groups });
  }
  return [...byResult.values()].flatMap(({ by, groups }) => groups.map(({ sources, decision }) => ({ from, by, sources, ...decision })));
}

function containerReach(port: PublishedPlace, host: AuditSurroundings): PortReach[] {
  const family = familyOfClients(port);
  const byResult = new Map<string, { readonly by: string[]; readonly groups: readonly SourceGroup[] }>();
  for (const { network, bridge, subnets } of host.bridges) {
    const own = rangesOf(subnets).filter((range) => range.family === family);
    const ranges = own.flatMap((subnet) =>
      host.walk
        .sources(family, [subnet, ...rangesOf(port.allow ?? [])])
        .filter(({ first, last }) => subnet.first <= first && last <= subnet.last),
    );
    if (ranges.length === 0) continue;
    const groups = group(ranges.map((source) => ({ source, decision: decide(port, host, { inInterface: bridge, source }) })));
    const shown = groups.length === 1 ? groups.map((g) => ({ ...g, sources: ["any"] })) : groups;
    const key = JSON.stringify(shown.map(({ sources, decision }) => [groups.length === 1 ? [] : sources, decision]));
    const known = byResult.get(key);
    if (known) known.by.push(network);
    else byResult.set(key, { by: [network], groups: shown });
  }
  return [...byResult.values()].flatMap(({ by, groups }) =>
    groups.map(({ sources, decision }) => ({ from: "containers" as const, by, sources, ...decision })),
  );
}

/** The host's own clients pass the chains of what it sends; lists of sources are not for them. */
function hostReach(port: PublishedPlace, host: AuditSurroundings): PortReach {
  return { from: "host", by: [], sources: ["any"], ...fromHost(port, host) };
}

/** What becomes of connections that the host, or the daemon, begins to the container. */
function fromHost(port: PublishedPlace, { walk, tableName }: AuditSurroundings): Decision {
  const family = familyOf(port.containerIp);
  const packet = packetTo(
    port,
    { inInterface: undefined, source: undefined },
    { isTranslated: !port.isByDaemon, outInterface: port.bridge },
  );
  const sent = { ...packet, family, destination: parseIp(port.containerIp).value, destinationPort: port.containerPort, isLocal: false };
  // what is for the host itself leaves by its loopback, until its destination has been translated and a new way is looked for
  const asOutput = { ...sent, outInterface: port.isByDaemon || port.hostPort === 0 ? port.bridge : "lo" };
  const at = ({ base }: RulesetChain): ProbePacket => (base?.hook === "output" ? asOutput : sent);
  return walk.decide([...walk.at("output", family), ...walk.at("postrouting", family)], at, isOwn({ tableName }));
}

interface Sender {
  readonly inInterface: string | undefined;
  readonly source: AddressRange | undefined;
}

function packetTo(
  port: PublishedPlace,
  sender: Sender,
  { isTranslated, outInterface }: { readonly isTranslated: boolean; readonly outInterface: string | undefined },
): ProbePacket {
  const isDirect = port.hostPort === 0;
  const isAtContainer = isTranslated || isDirect;
  const isAny = port.hostIp === "0.0.0.0" || port.hostIp === "::";
  return {
    ...sender,
    family: isAtContainer ? familyOf(port.containerIp) : familyOfClients(port),
    protocol: port.protocol,
    outInterface,
    destination: isAtContainer ? parseIp(port.containerIp).value : isAny ? undefined : parseIp(port.hostIp).value,
    destinationPort: isAtContainer ? port.containerPort : port.hostPort,
    isLocal: !isAtContainer,
    isTranslated: isTranslated && !isDirect,
  };
}

const isOwn =
  ({ tableName }: Pick<AuditSurroundings, "tableName">) =>
  (table: string): boolean =>
    table === `ip ${tableName}` || table === `ip6 ${tableName}`;

function decide(port: PublishedPlace, host: AuditSurroundings, sender: Sender): Decision {
  // the host takes what is for its loopback by no other interface
  if (port.hostPort !== 0 && isLoopback(port.hostIp)) return { verdict: "drop", rule: undefined };
  const { walk } = host;
  const family = familyOfClients(port);
  const arriving = walk.at("prerouting", family);
  const before = packetTo(port, sender, { isTranslated: false, outInterface: undefined });
  if (port.isByDaemon) {
    const decision = walk.decide([...arriving, ...walk.at("input", family)], () => before, isOwn(host));
    if (decision.verdict === "drop") return decision;
    if (!isAllowed(port, sender)) return { verdict: "drop", rule: byDaemon("not in the list of sources") };
    if (decision.verdict === "unknown") return decision;
    const onward = fromHost(port, host);
    return onward.verdict === "accept" ? { verdict: "accept", rule: byDaemon("passes it on over IPv4") } : onward;
  }
  const after = packetTo(port, sender, { isTranslated: true, outInterface: undefined });
  const forwarded = { ...after, outInterface: port.bridge };
  const packet = ({ base }: RulesetChain): ProbePacket => {
    if (base?.hook !== "prerouting") return forwarded;
    return base.priority < DSTNAT ? before : after;
  };
  return walk.decide([...arriving, ...walk.at("forward", family), ...walk.at("postrouting", family)], packet, isOwn(host));
}

/** The daemon itself decides about those whom it serves. */
function byDaemon(text: string): DecidingRule {
  return { table: "daemon", chain: "", handle: undefined, text };
}

function isAllowed({ allow }: PublishedPlace, { source }: Sender): boolean {
  if (allow === undefined || source === undefined) return true;
  return rangesOf(allow).some((range) => range.family === source.family && range.first <= source.first && source.last <= range.last);
}

function rangesOf(networks: readonly string[]): AddressRange[] {
  return networks.flatMap((text) => rangeOf(text) ?? []);
}

interface SourceGroup {
  readonly sources: readonly string[];
  readonly decision: Decision;
}

/** Senders of the same fate together; the most of them are called `any other`. */
function group(each: readonly { readonly source: AddressRange; readonly decision: Decision }[]): SourceGroup[] {
  const groups = new Map<string, { readonly decision: Decision; readonly ranges: AddressRange[] }>();
  for (const { source, decision } of each) {
    const key = JSON.stringify(decision);
    const known = groups.get(key);
    if (known === undefined) groups.set(key, { decision, ranges: [source] });
    else {
      const last = known.ranges.at(-1);
      if (last !== undefined && last.last + 1n === source.first) known.ranges[known.ranges.length - 1] = { ...last, last: source.last };
      else known.ranges.push(source);
    }
  }
  const size = (ranges: readonly AddressRange[]): bigint => ranges.reduce((sum, { first, last }) => sum + last - first + 1n, 0n);
  const all = [...groups.values()].toSorted((a, b) => (size(a.ranges) < size(b.ranges) ? -1 : 1));
  return all.map(({ decision, ranges }, index) => {
    if (index < all.length - 1) return { sources: ranges.map(rangeText), decision };
    return { sources: [all.length === 1 ? "any" : "any other"], decision };
  });
}

/** `10.0.0.0/8`, `192.0.2.1`, or `10.0.0.1-10.0.0.9` for what is no network. */
function rangeText({ family, first, last }: AddressRange): string {
  const from = formatIp({ family, value: first });
  if (first === last) return from;
  const bits = (last - first).toString(2).length;
  const isNetwork = last - first === (1n << BigInt(bits)) - 1n && (first & (last - first)) === 0n;
  return isNetwork ? `${from}/${bitsOf(family) - bits}` : `${from}-${formatIp({ family, value: last })}`;
}

/** Rules of others that keep containers from getting out: what dhow accepts doesn't overrule them. One sentence for each rule. */
export function cutOffs({ walk, tableName, bridges, outside }: AuditSurroundings): string[] {
  const byRule = new Map<string, { readonly rule: DecidingRule; readonly cut: BridgePlace[] }>();
  for (const place of bridges) {
    for (const source of rangesOf(place.subnets)) {
      const { family } = source;
      const chains = walk.at("forward", family).filter(({ table }) => table !== tableName);
      const packet = { family, protocol: "tcp", inInterface: place.bridge, source, destination: undefined, destinationPort: 443 } as const;
      const decisions = (outside.length > 0 ? outside : [""]).map((outInterface) =>
        walk.decide(
          chains,
          () => ({ ...packet, outInterface, isLocal: false, isTranslated: false }),
          () => false,
        ),
      );
      const [first] = decisions;
      if (first?.rule === undefined || decisions.some(({ verdict }) => verdict !== "drop")) continue;
      const key = JSON.stringify(first.rule);
      const known = byRule.get(key) ?? { rule: first.rule, cut: [] };
      if (!known.cut.includes(place)) known.cut.push(place);
      byRule.set(key, known);
    }
  }
  return [...byRule.values()].map(({ rule, cut }) => {
    const why = rule.handle === undefined ? "that no rule of its own accepts" : `by its rule ${rule.handle} (${rule.text})`;
    const names = cut.map(({ bridge }) => bridge).join(", ");
    return `chain ${rule.chain} of table ${rule.table} drops forwarded packets ${why}: containers of ${names} are cut off; accept the interface ${names} there`;
  });
}
