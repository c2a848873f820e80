import type { EngineApi, VolumeCreateRequest } from "../../spec/engine/mod.ts";
import { volumeCreateBody } from "../bodies.ts";
import { withLease } from "../lease-header.ts";
import { json, noContent } from "../reply.ts";
import { type Route, route } from "../router.ts";

const LIST_FILTERS = new Set(["dangling", "driver", "label", "name"]);
const PRUNE_FILTERS = new Set(["all", "label", "label!"]);

/** /volumes */
export function volumeRoutes({ volumes, leases }: Pick<EngineApi, "volumes" | "leases">): readonly Route[] {
  return [
    route("GET", "/volumes", async (request) => json(await volumes.list(request.query.filters(LIST_FILTERS)))),
    route("POST", "/volumes/create", async (request) => {
      const { value } = await request.json(volumeCreateBody);
      return json(await volumes.create(await withLease(request, value as VolumeCreateRequest, leases)), 201);
    }),
    route("GET", "/volumes/:name", async (request) => json(await volumes.inspect(request.name))),
    route("DELETE", "/volumes/:name", async (request) => {
      await volumes.remove(request.name, { force: request.query.flag("force") });
      return noContent;
    }),
    route("POST", "/volumes/prune", async (request) => {
      const filters = request.query.filters(PRUNE_FILTERS);
      // named volumes are spared since 1.42
      return json(await volumes.prune(request.atLeast(42) ? filters : { ...filters, all: ["true"] }));
    }),
  ];
}
