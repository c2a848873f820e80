import type { EgressChangeRequest, EngineApi } from "../../spec/engine/mod.ts";
import { slice, string, struct } from "../go-json.ts";
import { json } from "../reply.ts";
import { type Route, route } from "../router.ts";

const changeBody = struct("egress.ChangeRequest", { Mode: string, Allow: slice(string) });

/** Egress policies: dhow's own. @see docs/networking.md#egress-policy */
export function egressRoutes({ egress }: Pick<EngineApi, "egress">): readonly Route[] {
  return [
    route("GET", "/containers/:name/egress", async (request) => json(await egress.inspect(request.name))),
    route("POST", "/containers/:name/egress", async (request) => {
      const { value } = await request.json(changeBody, { required: true });
      return json(await egress.change(request.name, value as EgressChangeRequest));
    }),
  ];
}
