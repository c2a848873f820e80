/** @see https://www.iana.org/assignments/protocol-numbers */
const NAMES: Readonly<Record<number, string>> = {
  1: "icmp",
  2: "igmp",
  6: "tcp",
  17: "udp",
  33: "dccp",
  47: "gre",
  50: "esp",
  58: "icmpv6",
  132: "sctp",
};

/** What an IP protocol is called; one without a name: its number. */
export function ipProtocolName(protocol: number): string {
  return NAMES[protocol] ?? String(protocol);
}
