import type { AuditedPort, PortsApi } from "../../spec/engine/mod.ts";
import { hostConfigProblem } from "./host-config.ts";
import type { Objects } from "./objects.ts";

/** Without networks that are not visible, and without the texts of the host's rules, which name others. */
function shown(port: AuditedPort, networks: ReadonlySet<string | undefined>): AuditedPort {
  const Reach = port.Reach.flatMap((reach) => {
    const By = reach.From === "containers" ? reach.By.filter((name) => networks.has(name)) : reach.By;
    return reach.From === "containers" && By.length === 0 ? [] : { ...reach, By, Rule: null };
  });
  return { ...port, Reach };
}

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
    audit: async () => {
      access.require("containers", "read");
      const visible = new Set((await objects.containers()).filter(({ Labels }) => access.reads("containers", Labels)).map(({ Id }) => Id));
      const { Ports, Warnings } = await engine.ports.audit();
      const networks = new Set((await engine.networks.list({})).filter((network) => objects.seesNetwork(network)).map(({ Name }) => Name));
      return {
        Ports: Ports.filter(({ Container }) => visible.has(Container)).map((port) => shown(port, networks)),
        Warnings: objects.isConfined ? [] : Warnings,
      };
    },
  };
}
