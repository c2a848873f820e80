import { cgroupsPathFor } from "../../runtime/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import type { Container } from "./store.ts";

/** The cgroup of a container. */
export function cgroupPath(deps: ContainerDeps, container: Container): string {
  const { daemonId, cgroupParent } = deps.settings;
  return cgroupsPathFor(container.id, { daemonId, parent: container.spec.hostConfig.CgroupParent, daemonParent: cgroupParent });
}
