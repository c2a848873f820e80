import type { EngineApi, Lease, LeaseCreateRequest } from "../../spec/engine/mod.ts";
import { bool, int, string, struct } from "../go-json.ts";
import { json, noContent, type Reply } from "../reply.ts";
import { type Route, route } from "../router.ts";

const createBody = struct("lease.CreateRequest", { Name: string, TTL: string, Pid: int, Hold: bool, GraceSeconds: int });

/** /leases: dhow's own. @see docs/leases.md */
export function leaseRoutes({ leases }: Pick<EngineApi, "leases">): readonly Route[] {
  return [
    route("GET", "/leases", async () => json(await leases.list())),
    route("POST", "/leases", async (request) => {
      const { value } = await request.json(createBody, { required: true });
      return json(await leases.create(value as LeaseCreateRequest), 201);
    }),
    route("GET", "/leases/:name", async ({ name }) => json(await leases.inspect(name))),
    route("POST", "/leases/:name/renew", async ({ name, query }) => json(await leases.renew(name, query.text("ttl")))),
    route("POST", "/leases/:name/images", async ({ name, query }) => {
      await leases.addImage(name, query.text("name"));
      return noContent;
    }),
    route("GET", "/leases/:name/hold", async ({ name, signal }): Promise<Reply> => {
      const held: AsyncIterable<Lease> = await leases.hold(name, { signal });
      return { kind: "lines", contentType: "application/x-ndjson", lines: held, after: "\n" };
    }),
    route("DELETE", "/leases/:name", async ({ name, query }) => json(await leases.remove(name, { keep: query.flag("keep") }))),
  ];
}
