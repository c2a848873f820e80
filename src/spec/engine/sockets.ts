/**
 * Scoped sockets: dhow's own addition to the Engine API. A socket that sees and may do only what its rules say, as a way in for those who
 * are not to have the whole engine. @see docs/sockets.md
 */
import type { CallOptions } from "./api/call.ts";

/** On containers and volumes: the name of the scoped socket that they were made through. */
export const SOCKET_LABEL = "dhow.socket";

/** The most that what is made through a socket may be, all of it together; 0 = no limit. */
export interface SocketQuota {
  readonly Containers: number;
  readonly Volumes: number;
  readonly Networks: number;
  /** Bytes. */
  readonly Memory: number;
  /** In billionths of a processor. */
  readonly NanoCpus: number;
  readonly Pids: number;
}

/** Body of POST /sockets. */
export interface SocketCreateRequest {
  readonly Name: string;
  /** Where it listens; empty = `<exec-root>/sockets/<name>`. */
  readonly Path?: string | undefined;
  /** `NOUN:VERB[,VERB…] [label=KEY[=VALUE]]` each. */
  readonly Allow?: readonly string[] | null | undefined;
  readonly Quota?: { readonly [K in keyof SocketQuota]?: number | undefined } | undefined;
  /** Name or number of the group that may connect; empty = root's. */
  readonly Group?: string | undefined;
  readonly Audit?: boolean | undefined;
  /** Lets containers have what leads to the host: for those who are trusted with it. */
  readonly Unconfined?: boolean | undefined;
}

/** A scoped socket as GET /sockets shows it. */
export interface ScopedSocket {
  readonly Name: string;
  readonly Path: string;
  /** RFC 3339 */
  readonly Created: string;
  readonly Allow: readonly string[];
  readonly Quota: SocketQuota;
  readonly Group: string;
  readonly Audit: boolean;
  readonly Unconfined: boolean;
  /** Containers made through it that are there. */
  readonly Containers: number;
}

/** One request that came through a scoped socket. */
export interface AuditRecord {
  /** RFC 3339, with nanoseconds. */
  readonly time: string;
  /** Who connected, as the kernel says; a process in a container has its number on the host. */
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly status: number;
  /** What the request was about, as it was called; of something new its id. */
  readonly object?: string;
  readonly allowed: boolean;
  /** Why it was refused. */
  readonly why?: string;
}

export interface AuditOptions extends CallOptions {
  /** Number of last records; -1 = all that are kept. */
  readonly tail: number;
  readonly follow: boolean;
}

/** Scoped sockets, by their names. */
export interface SocketsApi {
  create(request: SocketCreateRequest): Promise<ScopedSocket>;
  list(): Promise<ScopedSocket[]>;
  inspect(name: string): Promise<ScopedSocket>;
  /** Closes a socket and forgets it; what was made through it stays. */
  remove(name: string): Promise<void>;
  audit(name: string, options: AuditOptions): Promise<AsyncIterable<AuditRecord>>;
}
