import { DhowError } from "../../lib/mod.ts";
import type { OciSpec } from "../../spec/oci-runtime/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import type { Plugged } from "./networking.ts";

/**
 * Gives a container the interfaces of the host that its devices bring; they go home with its sandbox. The runtime is not told of them: few
 * know them, and those that do leave their names on the host to chance.
 * @throws internal for a container without a network of its own, and when one can't be moved
 */
export function withNetDevices(deps: ContainerDeps, id: string, plugged: Plugged, spec: OciSpec): OciSpec {
  const { netDevices, ...linux } = spec.linux;
  if (netDevices === undefined) return spec;
  if (plugged.sandbox === undefined) {
    throw new DhowError("internal", "unable to move network devices without a private NET namespace");
  }
  deps.network.lend(
    id,
    Object.entries(netDevices).map(([hostName, { name }]) => ({ hostName, name })),
  );
  return { ...spec, linux };
}
