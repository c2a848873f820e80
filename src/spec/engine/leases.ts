/**
 * Leases: dhow's own addition to the Engine API. A lease binds objects to an owner; when the owner's time, process or connection ends,
 * they are removed. Objects belong to a lease by the label `dhow.lease`, which requests with the header `X-Dhow-Lease` get by themselves.
 */
import type { CallOptions, Filters } from "./api/call.ts";

/** On an object: the id of the lease that it belongs to. */
export const LEASE_LABEL = "dhow.lease";
/** On a container or a volume: how long after its creation it is removed, as Go writes durations. */
export const TTL_LABEL = "dhow.ttl";
/** On an image: what the engine itself serves in the network of its containers. The one that there is: `reaper`. */
export const SERVES_LABEL = "dhow.serves";
/** On a request that creates something: the lease that it is to belong to. */
export const LEASE_HEADER = "x-dhow-lease";

/** Body of POST /leases. One of `TTL`, `Pid` and `Hold` at least: a lease has to end. */
export interface LeaseCreateRequest {
  readonly Name?: string | undefined;
  /** `10m` */
  readonly TTL?: string | undefined;
  /** Of a process on the engine's host: the lease ends with it. */
  readonly Pid?: number | undefined;
  /** The lease ends when nobody has a connection to `/leases/{id}/hold` open for `GraceSeconds`. */
  readonly Hold?: boolean | undefined;
  /** 10 when left out. */
  readonly GraceSeconds?: number | undefined;
}

/** A lease as GET /leases shows it. */
export interface Lease {
  readonly Id: string;
  readonly Name: string;
  /** RFC 3339 */
  readonly Created: string;
  /** RFC 3339; empty without a TTL. */
  readonly Expires: string;
  /** 0 without an owning process. */
  readonly Pid: number;
  readonly Hold: boolean;
  readonly GraceSeconds: number;
  /** Connections that hold it now. */
  readonly Holders: number;
  /** What belongs to it: objects that pass one of these. */
  readonly Filters: readonly Filters[];
  /** Images that belong to it by name, since what is loaded or pulled has no label of its own. */
  readonly Images: readonly string[];
}

/** What the end of a lease took away. */
export interface LeaseEnd {
  readonly Containers: readonly string[];
  readonly Networks: readonly string[];
  readonly Volumes: readonly string[];
  readonly Images: readonly string[];
}

/** Owner-bound objects. `ref` is an id, a unique prefix of one, or a name. */
export interface LeasesApi {
  create(request: LeaseCreateRequest): Promise<Lease>;
  list(): Promise<Lease[]>;
  inspect(ref: string): Promise<Lease>;
  /** A new time from now on. @throws invalid */
  renew(ref: string, ttl: string): Promise<Lease>;
  /** Makes an image, by its name, one of the lease's. */
  addImage(ref: string, image: string): Promise<void>;
  /** Holds the lease until `signal` or until it ends; yields it once it is held. */
  hold(ref: string, options: CallOptions): Promise<AsyncIterable<Lease>>;
  /** Ends a lease now, with everything that belongs to it; `keep` leaves that alone. */
  remove(ref: string, options: { readonly keep: boolean }): Promise<LeaseEnd>;
}
