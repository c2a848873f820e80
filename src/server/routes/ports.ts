import type { EngineApi, PortChangeRequest } from "../../spec/engine/mod.ts";
import { int, slice, string, struct } from "../go-json.ts";
import { json } from "../reply.ts";
import { type Route, route } from "../router.ts";

const place = { HostIp: string, HostPort: string, ContainerPort: int, Protocol: string };
const changeBody = struct("ports.ChangeRequest", {
  Remove: slice(struct("ports.Removal", place)),
  Add: slice(struct("ports.Publication", { ...place, Allow: slice(string) })),
});

/** Published ports: dhow's own. @see docs/networking.md#ports */
export function portRoutes({ ports }: Pick<EngineApi, "ports">): readonly Route[] {
  return [
    route("POST", "/containers/:name/ports", async (request) => {
      const { value } = await request.json(changeBody, { required: true });
      return json(await ports.change(request.name, value as PortChangeRequest));
    }),
    route("GET", "/ports/audit", async () => json(await ports.audit())),
  ];
}
