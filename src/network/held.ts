import type { Fd } from "../linux/mod.ts";
import type { EgressPolicy, NetConditions } from "../spec/engine/mod.ts";
import type { SandboxDns } from "./dns/types.ts";
import type { RefusedName } from "./egress/refused.ts";
import type { DnsWish, HeldEndpoint } from "./sandbox.ts";

/** What is known of one container's sandbox. */
export interface Held {
  readonly containerId: string;
  readonly sandboxId: string;
  readonly containerName: string;
  /** Undefined after a restart of the daemon, until `adopt` opened it. */
  netns: Fd | undefined;
  endpoints: readonly HeldEndpoint[];
  readonly dnsWish: DnsWish;
  conditions: NetConditions | undefined;
  dns: SandboxDns | undefined;
  /** What it may reach; undefined: everything. */
  egress: EgressPolicy | undefined;
  /** The names that the last daemon has refused it. */
  readonly refused?: readonly RefusedName[] | undefined;
}

export const NO_DNS: DnsWish = { servers: [], keepsSingleLabels: false };
