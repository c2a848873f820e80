import type { ContainerConfig, EngineApi } from "../../spec/engine/mod.ts";
import { containerCreateBody } from "../bodies.ts";
import { json } from "../reply.ts";
import { type Route, route } from "../router.ts";

/** What is in a container's file system. */
export function contentsRoutes({ contents }: Pick<EngineApi, "contents">): readonly Route[] {
  return [
    route("GET", "/containers/:name/changes", async ({ name, signal }) => json(await contents.changes(name, { signal }))),
    route("GET", "/containers/:name/export", async ({ name, signal }) => ({
      kind: "bytes",
      contentType: "application/octet-stream",
      chunks: await contents.export(name, { signal }),
    })),
    route("POST", "/commit", async (request) => {
      const { query, signal } = request;
      const { value, seen } = await request.json(containerCreateBody);
      const image = await contents.commit(query.text("container"), {
        repo: query.text("repo"),
        tag: query.text("tag"),
        author: query.text("author"),
        comment: query.text("comment"),
        pause: query.text("pause") === "" || query.flag("pause"),
        changes: query.all("changes"),
        config: seen.has("Config") ? configOf(value) : undefined,
        signal,
      });
      return json(image, 201);
    }),
  ];
}

/** A body's configuration without what only a container has. */
function configOf(body: Readonly<Record<string, unknown>>): ContainerConfig {
  const { HostConfig: _, NetworkingConfig: __, ...config } = body;
  return config;
}
