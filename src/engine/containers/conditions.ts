import { DhowError } from "../../lib/mod.ts";
import { type ConditionsApi, type ConditionsText, conditionsText, parseNetworkExtensions, withConditions } from "../../spec/engine/mod.ts";
import { isRunning, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import type { Container } from "./store.ts";

/** Network conditions of containers. */
export function conditionsApi(deps: ContainerDeps): ConditionsApi {
  return { change: (ref, request) => changeConditions(deps, ref, request) };
}

/** POST /containers/{id}/conditions. @throws invalid, notFound, conflict, unsupported; nothing is changed then */
async function changeConditions(deps: ContainerDeps, ref: string, request: ConditionsText): Promise<ConditionsText> {
  const container = deps.store.find(ref);
  return deps.locks.run(container.id, () => {
    if (deps.store.get(container.id) !== container) throw new DhowError("notFound", `No such container: ${ref}`);
    try {
      change(deps, container, request);
    } catch (error) {
      if (!(error instanceof DhowError)) throw error;
      throw new DhowError(error.kind, `Cannot update container ${container.id}: ${error.message}`, { cause: error });
    }
    emitContainer(deps.emit, "update", container);
    return conditionsText(container.spec.config.Labels);
  });
}

function change(deps: ContainerDeps, container: Container, request: ConditionsText): void {
  const { spec, state } = container;
  if (state.status === "removing" || state.status === "dead") {
    throw new DhowError("conflict", 'container is marked for removal and cannot be "update"');
  }
  const mode = networkMode(spec.hostConfig);
  if (mode === "host" || mode.startsWith("container:")) {
    const whose = mode === "host" ? "the host's" : "another container's";
    throw new DhowError("invalid", `conflicting options: network conditions and ${whose} network`);
  }
  const Labels = withConditions(spec.config.Labels, request);
  // an image's labels are no requests: those of the container alone are read
  const asked = parseNetworkExtensions(withConditions({}, conditionsText(Labels)));
  const { conditions: _, ...others } = spec.extensions ?? { portAllows: [] };
  const extensions = { ...others, ...(asked.conditions && { conditions: asked.conditions }) };
  const write = (): void => deps.store.updateSpec(container, { config: { ...spec.config, Labels }, extensions });
  if (!isRunning(state) || deps.network.sandbox(container.id) === undefined) {
    write();
    return;
  }
  try {
    deps.network.setConditions(container.id, asked.conditions ?? {}, write);
  } catch (error) {
    container.spec = spec;
    throw error;
  }
}
