import type { EngineApi } from "../../spec/engine/mod.ts";
import { filtersParameter, segment } from "../query.ts";
import type { Transport } from "../transport.ts";

/** Published ports of running containers. */
export function ports(t: Transport): EngineApi["ports"] {
  return {
    change: (ref, request) => t.post(`/containers/${segment(ref, "container")}/ports`, {}, request),
    audit: () => t.get("/ports/audit"),
  };
}

/** Delay, loss and limits of a running container. */
export function conditions(t: Transport): EngineApi["conditions"] {
  return {
    change: (ref, request) => t.post(`/containers/${segment(ref, "container")}/conditions`, {}, request),
  };
}

/** What a container may reach. */
export function egress(t: Transport): EngineApi["egress"] {
  return {
    inspect: (ref) => t.get(`/containers/${segment(ref, "container")}/egress`),
    change: (ref, request) => t.post(`/containers/${segment(ref, "container")}/egress`, {}, request),
  };
}

/** Calls below /networks. */
export function networks(t: Transport): EngineApi["networks"] {
  return {
    list: (filters) => t.get("/networks", { filters: filtersParameter(filters) }),
    inspect: (ref, { verbose, scope }) => t.get(`/networks/${segment(ref, "network")}`, { verbose, scope }),
    prune: (filters) => t.post("/networks/prune", { filters: filtersParameter(filters) }),
    create: (request) => t.post("/networks/create", {}, request),
    remove: (ref) => t.send("DELETE", `/networks/${segment(ref, "network")}`, {}),
    connect: (ref, request) => t.send("POST", `/networks/${segment(ref, "network")}/connect`, {}, request),
    disconnect: (ref, request) => t.send("POST", `/networks/${segment(ref, "network")}/disconnect`, {}, request),
  };
}
