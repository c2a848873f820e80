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

/** Published ports: not part of Docker's API. */
export interface PortsApi {
  /** Publishes ports of a container, running or not, and takes others back: all of it or nothing. */
  change(ref: string, request: PortChangeRequest): Promise<PortChangeResponse>;
}
