import { applyChanges } from "../../images/mod.ts";
import type { ContainerConfig } from "../../spec/engine/mod.ts";
import type { OciImageRunConfig } from "../../spec/oci/mod.ts";
import { mergeEnv, mergeHealth } from "./config.ts";

/**
 * The configuration of a committed image: the one asked for (the container's own when none is), changed by Dockerfile instructions; what
 * that leaves open is the container's.
 * @throws invalid for an instruction that is none
 */
export function commitConfig(container: ContainerConfig, asked: ContainerConfig | undefined, changes: readonly string[]): ContainerConfig {
  const own = applyChanges((asked ?? container) as OciImageRunConfig, changes) as ContainerConfig;
  const hasEntrypoint = (own.Entrypoint?.length ?? 0) > 0;
  const exposed = { ...container.ExposedPorts, ...own.ExposedPorts };
  const volumes = { ...container.Volumes, ...own.Volumes };
  const health = mergeHealth(own.Healthcheck, container.Healthcheck ?? undefined);
  const stopSignal = own.StopSignal || container.StopSignal;
  return {
    ...own,
    User: own.User || container.User || "",
    ...(Object.keys(exposed).length > 0 ? { ExposedPorts: exposed } : {}),
    Env: mergeEnv(own.Env, container.Env),
    Cmd: hasEntrypoint || own.Cmd?.length ? (own.Cmd ?? null) : (container.Cmd ?? null),
    ...(health === undefined ? {} : { Healthcheck: health }),
    Volumes: Object.keys(volumes).length > 0 ? volumes : null,
    WorkingDir: own.WorkingDir || container.WorkingDir || "",
    Entrypoint: own.Entrypoint ?? container.Entrypoint ?? null,
    Labels: { ...container.Labels, ...own.Labels },
    ...(stopSignal ? { StopSignal: stopSignal } : {}),
  };
}
