import { describe, expect, test } from "bun:test";
import { parseRuleset } from "./ruleset.ts";
import { type ProbePacket, rangeOf } from "./ruleset-match.ts";
import { RulesetWalk } from "./ruleset-walk.ts";

const isRoot = process.getuid?.() === 0;
const packet: ProbePacket = {
  family: 4,
  protocol: "tcp",
  inInterface: "eth0",
  outInterface: "br0",
  source: rangeOf("192.0.2.1"),
  destination: rangeOf("172.18.0.2")?.first,
  destinationPort: 80,
  isLocal: false,
  isTranslated: true,
};

/** What the chains at forward, loaded in a namespace of their own by `load`, do with a packet. */
function walk(load: string): RulesetWalk {
  const script = `${load}\nnft -j list ruleset; echo "====="; nft -a list ruleset`;
  const { stdout, stderr, exitCode } = Bun.spawnSync(["unshare", "-n", "bash", "-ec", script]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  const [json = "", printed = ""] = stdout.toString().split("=====\n");
  return new RulesetWalk(parseRuleset(json, printed));
}

function decide(load: string, change: Partial<ProbePacket> = {}): string {
  const rules = walk(load);
  const { verdict, rule } = rules.decide(
    rules.at("forward", 4),
    () => ({ ...packet, ...change }),
    () => false,
  );
  return `${verdict}${rule === undefined ? "" : ` ${rule.chain}: ${rule.text}`}`;
}

const chain = (rules: string, more = ""): string =>
  `nft -f - <<'X'
table inet t {
  set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.0.2.1-192.0.2.9 }; }
  set places { type ipv4_addr . inet_proto . inet_service; elements = { 172.18.0.2 . tcp . 80 }; }
  ${more}
  chain f {
    type filter hook forward priority 0; policy drop;
    ${rules}
  }
}
X`;

describe.skipIf(!isRoot)("RulesetWalk (needs root)", () => {
  test.each([
    ["", "drop f: policy drop"],
    ["ct state established,related accept", "drop f: policy drop"],
    ["ct state new accept", "accept f: ct state new accept"],
    ["ct status dnat accept", "accept f: ct status dnat accept"],
    ["ip saddr 10.0.0.0/8 accept", "drop f: policy drop"],
    ["ip saddr @nets accept", "accept f: ip saddr @nets accept"],
    ["ip saddr != @nets accept", "drop f: policy drop"],
    ["ip6 saddr != ::1 accept", "drop f: policy drop"],
    ["ip daddr . meta l4proto . th dport @places accept", "accept f: ip daddr . meta l4proto . th dport @places accept"],
    ["tcp dport != { 22, 1000-2000 } counter accept", "accept f: tcp dport != { 22, 1000-2000 } accept"],
    ["udp dport 80 accept", "drop f: policy drop"],
    ['iifname "eth*" oifname "br0" accept', 'accept f: iifname "eth*" oifname "br0" accept'],
    ["meta nfproto ipv6 accept", "drop f: policy drop"],
    ['ct state vmap { invalid : drop, new : continue }\n iifname vmap { "wan0" : drop, "eth0" : accept }', "accept f: iifname vmap"],
    ["meta mark 1 accept", "unknown f: meta mark 0x00000001 accept"],
    ["meta mark 1 drop", "drop f: policy drop"],
    ["limit rate 1/second accept\naccept", "accept f: accept"],
    ["fib saddr . iif oif missing drop\naccept", "accept f: accept"],
    ["tcp flags & (fin | syn | rst | ack) != syn drop\naccept", "accept f: accept"],
    ["tcp flags & (fin | syn | rst | ack) == syn accept", "accept f: tcp flags"],
    ["tcp flags & (syn | ack) == syn | ack accept", "drop f: policy drop"],
    ["tcp flags & (syn | ecn) == syn | ecn accept", "unknown f: tcp flags"],
    ["reject with icmp type admin-prohibited", "drop f: reject with icmp admin-prohibited"],
  ])("%s: %s", (rules, wanted) => {
    expect(decide(chain(rules)).replace(/ meta mark 0x0+1 /, " meta mark 0x00000001 ")).toStartWith(wanted);
  });

  test("calls, jumps and returns are followed; the last chain at a hook can still drop", () => {
    const sub = "chain sub { tcp dport 22 accept; ip saddr 192.0.2.1 return; drop; }";
    expect(decide(chain("jump sub\naccept", sub))).toBe("accept f: accept");
    expect(decide(chain("goto sub\naccept", sub))).toBe("drop f: policy drop");
    expect(decide(chain("jump sub\naccept", sub), { source: rangeOf("192.0.2.2") })).toBe("drop sub: drop");
    const two = "chain g { type filter hook forward priority 10; policy accept; oifname br0 reject; }";
    expect(decide(chain("accept", two))).toBe('drop g: oifname "br0" reject');
  });

  test("rules of iptables-nft are told where nft can print them, as ufw's are", () => {
    const ufw = `
      iptables -P FORWARD DROP; iptables -N ufw-before-forward; iptables -A FORWARD -j ufw-before-forward
      iptables -A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
      iptables -A ufw-before-forward -p icmp --icmp-type echo-request -j ACCEPT
      iptables -A ufw-before-forward -m addrtype --dst-type LOCAL -j ACCEPT`;
    expect(decide(ufw)).toBe("drop FORWARD: policy drop");
    expect(decide(`${ufw}; iptables -A ufw-before-forward -p tcp -m multiport --dports 80,443 -j ACCEPT`)).toStartWith(
      "accept ufw-before-forward",
    );
    expect(decide(`${ufw}; iptables -A FORWARD -m comment --comment x -i eth0 -j ACCEPT`)).toStartWith("accept FORWARD");
    expect(decide(`${ufw}; iptables -A FORWARD -m string --string x --algo bm -j ACCEPT`)).toStartWith("unknown FORWARD");
    expect(decide("iptables -A FORWARD -o br0 -j REJECT")).toStartWith("drop FORWARD");
  });

  test("senders are told apart as far as the rules do", () => {
    const ranges = walk(chain("ip saddr 10.1.0.0/16 accept\n ip saddr . tcp dport { 198.51.100.7 . 80 } accept")).sources(4);
    expect(ranges.map(({ first }) => Number(first).toString(16))).toEqual(["0", "a010000", "a020000", "c6336407", "c6336408"]);
    expect(ranges.at(-1)?.last).toBe(0xffffffffn);
  });
});
