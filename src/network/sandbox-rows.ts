import type { Logger } from "../lib/mod.ts";
import type { EndpointsTable } from "../metadata/mod.ts";
import type { Egress } from "./egress/egress.ts";
import { restoredEndpoint, storedEndpoint } from "./endpoint-forms.ts";
import { type Held, NO_DNS } from "./held.ts";
import type { OpenNetwork } from "./networks.ts";
import type { Publisher, StoredPorts } from "./publisher.ts";
import { type StoredSandbox, storedPorts } from "./sandbox.ts";

export interface SandboxRowsDeps {
  readonly table: EndpointsTable;
  readonly publisher: Pick<Publisher, "stored">;
  readonly egress: Pick<Egress, "refused">;
  /** The network of an id. @throws notFound */
  readonly network: (id: string) => OpenNetwork;
  readonly log: Logger;
}

/** Writes a container's rows as they are now; `also` writes what else is to change in the same transaction. */
export function recordSandbox(
  { table, publisher, egress: policies }: Pick<SandboxRowsDeps, "table" | "publisher" | "egress">,
  { containerId, sandboxId, containerName, endpoints, dnsWish, conditions, egress, lent }: Held,
  also?: () => void,
): void {
  const details: StoredSandbox = {
    ...publisher.stored(containerId),
    ...{ containerName, dns: dnsWish, conditions, egress },
    ...(lent.length > 0 && { lent }),
    ...(egress !== undefined && { refused: policies.refused(containerId) }),
  };
  table.put(
    { container_id: containerId, sandbox_id: sandboxId, details: JSON.stringify(details) },
    endpoints.map((endpoint) => ({
      container_id: containerId,
      network_id: endpoint.network.config.id,
      endpoint_id: endpoint.plugged.endpointId,
      details: JSON.stringify(storedEndpoint(endpoint)),
    })),
    also,
  );
}

/** What the last daemon wrote down, with the endpoints whose interfaces are there; `present` are those of the host. */
export function restoredSandboxes(
  deps: Pick<SandboxRowsDeps, "table" | "network" | "log">,
  present: ReadonlySet<string>,
): { readonly held: Held; readonly ports: StoredPorts }[] {
  const rows = deps.table.endpoints();
  return deps.table.sandboxes().map((row) => {
    const details = JSON.parse(row.details) as StoredSandbox;
    const held: Held = {
      containerId: row.container_id,
      sandboxId: row.sandbox_id,
      containerName: details.containerName ?? "",
      netns: undefined,
      endpoints: rows.filter((r) => r.container_id === row.container_id).flatMap((r) => restoredEndpoint(deps, r, present)),
      dnsWish: details.dns ?? NO_DNS,
      conditions: details.conditions,
      dns: undefined,
      egress: details.egress,
      lent: details.lent ?? [],
      refused: details.refused,
    };
    return { held, ports: storedPorts(details) };
  });
}
