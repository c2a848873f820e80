import type { Fd } from "../linux/mod.ts";
import type { EgressPolicy, NetConditions } from "../spec/engine/mod.ts";
import type { SandboxDns } from "./dns/types.ts";
import type { RefusedName } from "./egress/refused.ts";
import { shownEndpoint } from "./endpoint-forms.ts";
import type { LentDevice } from "./lent-devices.ts";
import type { Publisher } from "./publisher.ts";
import type { DnsWish, HeldEndpoint, Sandbox } from "./sandbox.ts";

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
  /** Interfaces of the host that it has. */
  lent: readonly LentDevice[];
  /** The names that the last daemon has refused it. */
  readonly refused?: readonly RefusedName[] | undefined;
}

export const NO_DNS: DnsWish = { servers: [], keepsSingleLabels: false };

/** A sandbox as others see it. */
export function shownSandbox({ containerId, sandboxId, netns, endpoints, dns }: Held, publisher: Pick<Publisher, "ports">): Sandbox {
  return {
    containerId,
    sandboxId,
    netnsPath: netns === undefined ? "" : `/proc/${process.pid}/fd/${netns.fd}`,
    endpoints: endpoints.filter(({ wish }) => !wish.isOutside).map(shownEndpoint),
    ports: publisher.ports(containerId),
    hasDns: dns !== undefined,
  };
}
