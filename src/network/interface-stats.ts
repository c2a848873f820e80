import type { LinkStats } from "../linux/mod.ts";

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
export function interfaceStats(s: LinkStats): InterfaceStats {
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
export function mirroredStats(s: LinkStats): InterfaceStats {
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
