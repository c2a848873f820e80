/** GET /containers/{id}/egress, dhow's own: a container's egress policy, and what it did under it. */
export interface ContainerEgress {
  readonly Id: string;
  readonly Name: string;
  /** `none`: it may reach everything. */
  readonly Mode: "none" | "enforce" | "learn";
  /** As in the label `dhow.egress.allow`. */
  readonly Allow: readonly string[];
  /** Packets that it sent to more than its own networks' containers, and those of them that were denied; of its last run when it doesn't run. */
  readonly Packets: number;
  readonly DeniedPackets: number;
  /** Addresses that are open because a name of the list was looked up. */
  readonly Open: readonly EgressName[];
  /** The last one first. Under `learn`: what `enforce` would have denied. */
  readonly Denied: readonly EgressDenial[];
  /** Names that are not in the list and were asked for; the last one first. */
  readonly DeniedNames: readonly EgressDeniedName[];
  /** What `Allow` would have to be for everything that was seen. */
  readonly Suggested: readonly string[];
}

export interface EgressName {
  readonly Names: readonly string[];
  readonly Address: string;
  readonly ExpiresInSeconds: number;
}

export interface EgressDenial {
  readonly Address: string;
  /** `tcp`, `udp`, `icmp`, …, or a number. */
  readonly Protocol: string;
  /** 0 for protocols without ports. */
  readonly Port: number;
  /** The names by which the container came to the address, as far as that is known. */
  readonly Names: readonly string[];
  readonly Packets: number;
  /** RFC3339Nano. */
  readonly LastSeen: string;
}

export interface EgressDeniedName {
  readonly Name: string;
  readonly Queries: number;
  /** RFC3339Nano. */
  readonly LastSeen: string;
}

/** Body of POST /containers/{id}/egress; what is left out stays. */
export interface EgressChangeRequest {
  readonly Mode?: string | undefined;
  /** As items of the label. */
  readonly Allow?: readonly string[] | null | undefined;
}

/** Egress policies: not part of Docker's API. */
export interface EgressApi {
  inspect(ref: string): Promise<ContainerEgress>;
  /** Another policy, also for a container that runs under one; connections that it does not allow end. */
  change(ref: string, request: EgressChangeRequest): Promise<ContainerEgress>;
}
