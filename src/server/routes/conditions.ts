import type { ConditionsText, EngineApi } from "../../spec/engine/mod.ts";
import { string, struct } from "../go-json.ts";
import { json } from "../reply.ts";
import { type Route, route } from "../router.ts";

const changeBody = struct("conditions.ChangeRequest", { Rate: string, Delay: string, Jitter: string, Loss: string });

/** Network conditions: dhow's own. @see docs/networking.md#network-conditions */
export function conditionRoutes({ conditions }: Pick<EngineApi, "conditions">): readonly Route[] {
  return [
    route("POST", "/containers/:name/conditions", async (request) => {
      const { value } = await request.json(changeBody, { required: true });
      return json(await conditions.change(request.name, value as ConditionsText));
    }),
  ];
}
