import { DhowError, errorMessage } from "../lib/mod.ts";
import { portTarget } from "./endpoint-forms.ts";
import type { Held } from "./held.ts";
import type { Publisher } from "./publisher.ts";
import { type AcquireRequest, gatewayEndpoint } from "./sandbox.ts";

/** Publishes a container's ports by the endpoint that leads out, or notes them until there is one. @throws internal in docker's words */
export function publishPorts(
  publisher: Pick<Publisher, "publish" | "note">,
  { containerId, endpoints }: Pick<Held, "containerId" | "endpoints">,
  { ports, containerName }: Pick<AcquireRequest, "ports" | "containerName">,
): void {
  const target = portTarget(endpoints);
  if (target === undefined) {
    if (endpoints.length === 0) return;
    const isShown = endpoints.some(({ network }) => network.on.publishesPorts || network.config.isInternal);
    publisher.note(containerId, isShown ? ports : { ...ports, exposed: [] });
    return;
  }
  try {
    publisher.publish(containerId, ports, target);
  } catch (error) {
    if (!(error instanceof DhowError) || error.kind !== "internal") throw error;
    const endpointId = gatewayEndpoint(endpoints)?.plugged.endpointId;
    const text = `driver failed programming external connectivity on endpoint ${containerName} (${endpointId}): ${errorMessage(error)}`;
    throw new DhowError("internal", text, { cause: error, details: error.details });
  }
}
