import type { EngineApi, SocketCreateRequest } from "../../spec/engine/mod.ts";
import { bool, int, slice, string, struct } from "../go-json.ts";
import { json, noContent, type Reply } from "../reply.ts";
import { type Route, route } from "../router.ts";

const quota = struct("socket.Quota", { Containers: int, Volumes: int, Networks: int, Memory: int, NanoCpus: int, Pids: int });
const createBody = struct("socket.CreateRequest", {
  Name: string,
  Path: string,
  Allow: slice(string),
  Quota: quota,
  Group: string,
  Audit: bool,
  Unconfined: bool,
});

/** /sockets: dhow's own. @see docs/sockets.md */
export function socketRoutes({ sockets }: Pick<EngineApi, "sockets">): readonly Route[] {
  return [
    route("GET", "/sockets", async () => json(await sockets.list())),
    route("POST", "/sockets", async (request) => {
      const { value } = await request.json(createBody, { required: true });
      return json(await sockets.create(value as unknown as SocketCreateRequest), 201);
    }),
    route("GET", "/sockets/:name", async ({ name }) => json(await sockets.inspect(name))),
    route("DELETE", "/sockets/:name", async ({ name }) => {
      await sockets.remove(name);
      return noContent;
    }),
    route("GET", "/sockets/:name/audit", async ({ name, query, signal }): Promise<Reply> => {
      const lines = await sockets.audit(name, { tail: query.integer("tail") ?? -1, follow: query.flag("follow"), signal });
      return { kind: "lines", contentType: "application/x-ndjson", lines, after: "\n" };
    }),
  ];
}
