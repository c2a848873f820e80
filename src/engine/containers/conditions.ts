import { DhowError } from "../../lib/mod.ts";
import { type ConditionsApi, type ConditionsText, conditionsText, parseNetworkExtensions, withConditions } from "../../spec/engine/mod.ts";
import { changeContainer, withSpecKept } from "./change.ts";
import { isRunning, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import type { Container } from "./store.ts";

/** Network conditions of containers. */
export function conditionsApi(deps: ContainerDeps): ConditionsApi {
  return { change: (ref, request) => changeConditions(deps, ref, request) };
}

/** POST /containers/{id}/conditions. @throws invalid, notFound, conflict, unsupported; nothing is changed then */
function changeConditions(deps: ContainerDeps, ref: string, request: ConditionsText): Promise<ConditionsText> {
  return changeContainer(
    deps,
    ref,
    (container) => change(deps, container, request),
    ({ spec }) => conditionsText(spec.config.Labels),
  );
}

function change(deps: ContainerDeps, container: Container, request: ConditionsText): void {
  const { spec, state } = container;
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
  withSpecKept(container, () => deps.network.setConditions(container.id, asked.conditions ?? {}, write));
}
