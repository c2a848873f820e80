import type { CheckpointRequest, EngineApi } from "../../spec/engine/mod.ts";
import { checkpointBody } from "../bodies.ts";
import { json, noContent } from "../reply.ts";
import { type Route, route } from "../router.ts";

/** /containers/{id}/checkpoints. dockerd has them in its experimental mode only. */
export function checkpointRoutes({ checkpoints }: Pick<EngineApi, "checkpoints">): readonly Route[] {
  return [
    route("POST", "/containers/:name/checkpoints", async (request) => {
      await checkpoints.create(request.name, (await request.json(checkpointBody, { required: true })).value as CheckpointRequest);
      return { kind: "empty", status: 201 };
    }),
    route("GET", "/containers/:name/checkpoints", async (request) =>
      json(await checkpoints.list(request.name, { dir: request.query.text("dir") || undefined })),
    ),
    route("DELETE", "/containers/:name/checkpoints/:id", async (request) => {
      await checkpoints.remove(request.name, request.id, { dir: request.query.text("dir") || undefined });
      return noContent;
    }),
  ];
}
