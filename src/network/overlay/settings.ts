import type { EtcdOptions } from "./etcd.ts";

/** What the daemon is told of the hosts that it shares networks with. */
export interface ClusterSettings extends Pick<EtcdOptions, "endpoints" | "tls" | "user"> {
  /** The address of this host that the others send to. */
  readonly vtep: string;
  /** What this host is called; the same in every life of its daemon. */
  readonly hostId: string;
  readonly ttlSeconds: number;
  /** How long the keys of encrypted networks are in use. */
  readonly rotationSeconds: number;
  readonly heartbeatSeconds: number;
  /** Where in etcd; empty: `DEFAULT_ROOT`. */
  readonly root: string;
}
