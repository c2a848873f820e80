import { deviceRequestsEdit, type SpecEdit } from "../../runtime/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import type { Container } from "./store.ts";

/**
 * What the devices that a container asks for change of its configuration, by the host's files as they are now; undefined for one that
 * asks for none.
 * @throws internal in docker's words when no driver is there for a request
 */
export async function deviceEdit({ cdi, log }: ContainerDeps, { spec }: Container): Promise<SpecEdit | undefined> {
  const requests = spec.hostConfig.DeviceRequests ?? [];
  if (requests.length === 0) return undefined;
  const findProgram = (name: string): string | undefined => Bun.which(name) ?? undefined;
  return deviceRequestsEdit(requests, { cdi: await cdi?.devices(), findProgram, log });
}
