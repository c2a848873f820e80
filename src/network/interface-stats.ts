import { type Fd, findLink, insideNetns, type LinkStats, NETLINK, NetlinkSocket } from "../linux/mod.ts";
import type { HeldEndpoint } from "./sandbox.ts";

/** Docker's counters of one interface, as the container sees it. */
export interface InterfaceStats {
  readonly rx_bytes: number;
  readonly rx_packets: number;
  readonly rx_errors: number;
  readonly rx_dropped: number;
  readonly tx_bytes: number;
  readonly tx_packets: number;
  readonly tx_errors: number;
  readonly tx_dropped: number;
}

/** What a link of a container has counted. */
function interfaceStats(s: LinkStats): InterfaceStats {
  return {
    rx_bytes: s.rxBytes,
    rx_packets: s.rxPackets,
    rx_errors: s.rxErrors,
    rx_dropped: s.rxDropped,
    tx_bytes: s.txBytes,
    tx_packets: s.txPackets,
    tx_errors: s.txErrors,
    tx_dropped: s.txDropped,
  };
}

/** The same by the other end of a pair: what the host's end received, the container sent. */
function mirroredStats(s: LinkStats): InterfaceStats {
  return {
    rx_bytes: s.txBytes,
    rx_packets: s.txPackets,
    rx_errors: s.txErrors,
    rx_dropped: s.txDropped,
    tx_bytes: s.rxBytes,
    tx_packets: s.rxPackets,
    tx_errors: s.rxErrors,
    tx_dropped: s.rxDropped,
  };
}

export interface StatsPlace {
  readonly home: Fd;
  /** Of the host. */
  readonly route: NetlinkSocket;
  /** The container's namespace, where it is at hand. */
  readonly netns: Fd | undefined;
}

/** Counters of a container's endpoints, by the interface's name. */
export function endpointStats(endpoints: readonly HeldEndpoint[], { home, route, netns }: StatsPlace): Record<string, InterfaceStats> {
  const all: Record<string, InterfaceStats> = {};
  for (const { interfaceName, plugged } of endpoints) {
    const { hostInterface } = plugged;
    const outer = hostInterface === undefined ? undefined : findLink(route, hostInterface)?.stats;
    if (outer !== undefined) all[interfaceName] = mirroredStats(outer);
    if (hostInterface !== undefined || netns === undefined) continue;
    const inner = insideNetns(home, netns.fd, () => {
      using socket = new NetlinkSocket(NETLINK.ROUTE, { receiveBytes: 8192 });
      return findLink(socket, interfaceName)?.stats;
    });
    if (inner !== undefined) all[interfaceName] = interfaceStats(inner);
  }
  return all;
}
