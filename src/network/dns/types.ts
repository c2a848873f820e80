import type { Fd } from "../../linux/mod.ts";

/** What the names of containers are, as one sandbox sees them. Asked at every query: nothing of it is kept. */
export interface NameSource {
  /**
   * The addresses (4 or 16 bytes each) of a name, given in lower case without a final dot.
   * Undefined: no name of ours, to be asked elsewhere. Empty: a name of ours without an address of that family.
   */
  lookup(name: string, family: 4 | 6): readonly Uint8Array[] | undefined;
  /** The name of an address (4 or 16 bytes) that is ours, such as `web.mynet`; undefined: to be asked elsewhere. */
  reverse(address: Uint8Array): string | undefined;
}

/** A name server that queries are handed on to. */
export interface Upstream {
  /** IPv4 or IPv6 address as text; of a link-local one with its zone. */
  readonly address: string;
  /** Asked from the daemon's namespace, as servers on the host's loopback have to be; else from the sandbox. */
  readonly isFromHost: boolean;
  /** Another port than 53. */
  readonly port?: number | undefined;
}

/** What a name server said to a query of a container. */
export interface ForwardedAnswer {
  /** The name asked for, in lower case without a final dot. */
  readonly name: string;
  /** All A and AAAA records of the answer, 4 or 16 bytes each; those of aliases (CNAME) too. */
  readonly addresses: readonly Uint8Array[];
  /** The least time to live among the records of the answer; 0 when there are none. */
  readonly ttlSeconds: number;
}

/** How the names of one sandbox are served. */
export interface SandboxDnsOptions {
  /** The sandbox's network namespace, its loopback up; used while `DnsServer.open` runs and while queries are handed on. */
  readonly netns: Fd;
  readonly names: NameSource;
  /** Servers to hand queries on to, in order; asked for at every query. Empty: SERVFAIL, as on an internal network. */
  readonly upstreams: () => readonly Upstream[];
  /** Names without a dot stay here, with an empty answer, so that the client goes on with its search domains: docker's rule when `ndots` is set. */
  readonly keepsSingleLabels?: (() => boolean) | undefined;
  /** Whether a query may be handed on at all; false: NXDOMAIN, and nobody is asked. `name` in lower case without a final dot. */
  readonly mayForward?: ((name: string) => boolean) | undefined;
  /** Told every answer without an error, before the client gets it. False, or a failure: the client gets REFUSED instead. */
  readonly onAnswer?: ((answer: ForwardedAnswer) => boolean | undefined | Promise<boolean | undefined>) | undefined;
}

/** The name server of one sandbox, as `DnsServer.open` makes it: at 127.0.0.11 there, until it is closed. */
export interface SandboxDns extends Disposable {
  /** Ends it, queries under way too. The namespace may live on: another server can be opened there, by this process or the next. */
  close(): void;
}
