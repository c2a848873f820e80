import type { NetworkInspect, NetworksApi } from "../../spec/engine/mod.ts";
import { perRule } from "./containers.ts";
import type { Objects } from "./objects.ts";

/** Networks as far as a socket's clients see them. */
export function scopedNetworks(objects: Objects): NetworksApi {
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
    create: (request) => {
      access.require("networks", "create");
      return networks.create({ ...request, Labels: { ...request.Labels, ...access.labelsOfNew("networks", request.Labels) } });
    },
    remove: async (ref) => {
      const { Id = "" } = await objects.network(ref, "remove");
      await networks.remove(Id);
    },
    connect: async (ref, request) => {
      const { Id = "" } = await objects.network(ref, "control");
      const id = await objects.container(request.Container ?? "", "control");
      await networks.connect(Id, { ...request, Container: id });
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
