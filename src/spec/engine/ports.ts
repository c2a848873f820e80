import type { PortMap } from "./dto.ts";

/** One publication of a container's port, as `-p` says it. */
export interface PortPublication {
  readonly ContainerPort: number;
  /** `tcp`, `udp` or `sctp`; default `tcp`. */
  readonly Protocol?: string | undefined;
  /** Empty: every address of the host. */
  readonly HostIp?: string | undefined;
  /** `8080`, `8000-8010` for the first free one of them, empty for any. */
  readonly HostPort?: string | undefined;
  /** Addresses and networks that alone may use the port; those of the container's port where left out. */
  readonly Allow?: readonly string[] | null | undefined;
}

/** Publications that are to go: those that have all of what is said. */
export interface PortRemoval {
  readonly HostIp?: string | undefined;
  /** A port that a running container got, or what was asked for. */
  readonly HostPort?: string | undefined;
  /** 0: whichever. */
  readonly ContainerPort?: number | undefined;
  /** Default `tcp`. */
  readonly Protocol?: string | undefined;
}

/** Body of POST /containers/{id}/ports; what is removed goes first. */
export interface PortChangeRequest {
  readonly Remove?: readonly PortRemoval[] | null | undefined;
  readonly Add?: readonly PortPublication[] | null | undefined;
}

/** The ports of a running container as they are now; of one that doesn't run: none. */
export interface PortChangeResponse {
  readonly Ports: PortMap;
}

/** A rule of the host that decides about packets. */
export interface PortRule {
  /** `inet firewalld`; `daemon` for what the daemon itself decides. */
  readonly Table: string;
  readonly Chain: string;
  /** As `nft -a list ruleset` shows it; 0: the chain's policy. */
  readonly Handle: number;
  readonly Text: string;
}

/** Some senders, and what becomes of their packets. */
export interface PortReach {
  /** `neighbours` are on bridges of others on this host. */
  readonly From: "outside" | "containers" | "neighbours" | "host";
  /** Interfaces that they come by, or networks that they are on. */
  readonly By: readonly string[];
  /** Addresses, networks and ranges; `any`, or `any other`. */
  readonly Sources: readonly string[];
  readonly Verdict: "accept" | "drop" | "unknown";
  /** The rule that decides, or the first one that can't be told; null: there is none. */
  readonly Rule: PortRule | null;
}

/** A published port and who can reach it. */
export interface AuditedPort {
  readonly Container: string;
  readonly Name: string;
  readonly Network: string;
  readonly HostIp: string;
  /** 0: none of the host's, the container's own address takes connections. */
  readonly HostPort: number;
  readonly Protocol: string;
  readonly ContainerIp: string;
  readonly ContainerPort: number;
  /** Addresses and networks that alone may use it; null: everybody. */
  readonly Allow: readonly string[] | null;
  /** Who can reach it, the host's own firewall considered. */
  readonly Reach: readonly PortReach[];
}

/** Answer of GET /ports/audit. */
export interface PortAudit {
  readonly Ports: readonly AuditedPort[];
  /** What stands in the way of containers, and what can't be told. */
  readonly Warnings: readonly string[];
}

/** Published ports: not part of Docker's API. */
export interface PortsApi {
  /** Publishes ports of a container, running or not, and takes others back: all of it or nothing. */
  change(ref: string, request: PortChangeRequest): Promise<PortChangeResponse>;
  /** Who can reach the published ports, by the rules of this host, which are never changed. */
  audit(): Promise<PortAudit>;
}
