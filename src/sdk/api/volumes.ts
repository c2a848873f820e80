import type { EngineApi } from "../../spec/engine/mod.ts";
import { jsonLines } from "../ndjson.ts";
import { filtersParameter, segment, target } from "../query.ts";
import type { Transport } from "../transport.ts";

/** Calls below /volumes that docker has not: clone, export, import, rename, resize. */
export function volumeContents(t: Transport): EngineApi["volumeContents"] {
  const at = (name: string, verb: string): string => `/volumes/${segment(name, "volume")}/${verb}`;
  return {
    clone: async (source, { name, labels, isSnapshot, pause, signal }) => {
      const query = {
        name,
        snapshot: isSnapshot ? "1" : "0",
        pause: pause ? "1" : "0",
        labels: labels ? JSON.stringify(labels) : undefined,
      };
      return jsonLines((await t.call({ method: "POST", target: target(at(source, "clone"), query), signal })).body);
    },
    export: async (name, { compression, signal }) =>
      (await t.call({ method: "GET", target: target(at(name, "export"), { compression }), signal })).body,
    import: async (name, archive, { labels, size, signal }) => {
      const query = { size, labels: labels ? JSON.stringify(labels) : undefined };
      const headers = { "Content-Type": "application/x-tar" };
      return t.json({ method: "POST", target: target(at(name, "import"), query), headers, body: archive, signal });
    },
    rename: (name, to) => t.post(at(name, "rename"), { name: to }),
    resize: (name, size) => t.post(at(name, "resize"), { size }),
  };
}

/** Docker's calls below /volumes. */
export function volumes(t: Transport): EngineApi["volumes"] {
  return {
    create: (request) => t.post("/volumes/create", {}, request),
    list: (filters) => t.get("/volumes", { filters: filtersParameter(filters) }),
    inspect: (name) => t.get(`/volumes/${segment(name, "volume")}`),
    remove: (name, { force }) => t.send("DELETE", `/volumes/${segment(name, "volume")}`, { force }),
    prune: (filters) => t.post("/volumes/prune", { filters: filtersParameter(filters) }),
  };
}
