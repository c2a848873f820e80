import type { PortsApi } from "../../spec/engine/mod.ts";
import { hostConfigProblem } from "./host-config.ts";
import type { Objects } from "./objects.ts";

/** Published ports as far as a socket's clients see them. */
export function scopedPorts(objects: Objects): PortsApi {
  const { access, engine } = objects;
  return {
    change: async (ref, request) => {
      const id = await objects.container(ref, "control");
      const PortBindings = { any: (request.Add ?? []).map(({ HostPort }) => ({ HostPort })) };
      const problem = objects.isConfined ? hostConfigProblem({ PortBindings }) : undefined;
      if (problem !== undefined) throw access.refusal(problem);
      return objects.withoutIds(engine.ports.change(id, request));
    },
  };
}
