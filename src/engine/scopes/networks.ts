import { DhowError, isKind } from "../../lib/mod.ts";
import { type NetworkInspect, type NetworksApi, SOCKET_LABEL } from "../../spec/engine/mod.ts";
import { perRule } from "./containers.ts";
import { type CheckLease, withLinkIds } from "./create.ts";
import { endpointProblem, networkProblem } from "./host-config.ts";
import { type Objects, PREDEFINED } from "./objects.ts";
import type { Quota } from "./quota.ts";

/** Networks as far as a socket's clients see them. */
export function scopedNetworks(objects: Objects, quota: Quota, checkLease: CheckLease): NetworksApi {
  const { access, engine } = objects;
  const { networks } = engine;
  return {
    list: async (filters) => {
      access.require("networks", "read");
      return (await networks.list(filters)).filter((network) => objects.seesNetwork(network));
    },
    inspect: async (ref, options) => {
      const { Id = "" } = await objects.network(ref, "read");
      return withOwnContainers(objects, await networks.inspect(Id, options));
    },
    prune: async (filters) => {
      access.require("networks", "prune");
      const results = await perRule(access.labelsFor("networks", "prune"), filters, (own) => networks.prune(own));
      const deleted = results.flatMap(({ NetworksDeleted }) => NetworksDeleted ?? []);
      return { NetworksDeleted: deleted.length > 0 ? deleted : null };
    },
    create: async (request) => {
      access.require("networks", "create");
      const problem = objects.isConfined ? networkProblem(request) : undefined;
      if (problem !== undefined) throw access.refusal(problem);
      await checkLease(request.Labels);
      const own = access.labelsOfNew("networks", request.Labels);
      const from = request.ConfigFrom?.Network;
      const ConfigFrom = from ? { Network: (await objects.network(from, "read")).Name } : undefined;
      const Labels = { ...request.Labels, ...own, [SOCKET_LABEL]: access.socket };
      return quota.make({ networks: 1 }, () => networks.create({ ...request, Labels, ...(ConfigFrom && { ConfigFrom }) }));
    },
    remove: async (ref) => {
      const { Id = "", Name = "", ConfigOnly } = await objects.network(ref, "remove");
      try {
        await networks.remove(Id);
      } catch (error) {
        if (!isKind(error, "forbidden") || PREDEFINED.has(Name) || ConfigOnly) throw error;
        // the engine says by name who is on it
        throw new DhowError("forbidden", `error while removing network: network ${Name} has active endpoints`, { cause: error });
      }
    },
    connect: async (ref, request) => {
      const { Id = "", Driver, Name = "" } = await objects.network(ref, "control");
      const id = await objects.container(request.Container ?? "", "control");
      const asked = request.EndpointConfig ?? {};
      const problem = Driver === "host" ? `the network ${Name}` : endpointProblem(Name, asked);
      if (objects.isConfined && problem !== undefined) throw access.refusal(problem);
      const EndpointConfig = await withLinkIds(objects, asked);
      await objects.withoutIds(networks.connect(Id, { Container: id, EndpointConfig }));
    },
    disconnect: async (ref, request) => {
      const { Id = "" } = await objects.network(ref, "control");
      const id = await objects.container(request.Container ?? "", "control");
      await networks.disconnect(Id, { ...request, Container: id });
    },
  };
}

/** A network's answer without the containers that are not visible. */
async function withOwnContainers(objects: Objects, network: NetworkInspect): Promise<NetworkInspect> {
  if (!("Containers" in network) || typeof network.Containers !== "object") return network;
  const visible = new Set((await objects.containers()).map(({ Id }) => Id));
  const own = Object.entries(network.Containers ?? {}).filter(([id]) => visible.has(id));
  return { ...network, Containers: Object.fromEntries(own) } as NetworkInspect;
}
