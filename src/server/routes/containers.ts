import { DhowError } from "../../lib/mod.ts";
import type { ContainerUpdateRequest, EngineApi, WaitCondition } from "../../spec/engine/mod.ts";
import { containerCreateBody, containerUpdateBody } from "../bodies.ts";
import { createRequest, updateRequest } from "../create-request.ts";
import { withLease } from "../lease-header.ts";
import { json, noContent } from "../reply.ts";
import type { ApiRequest } from "../request.ts";
import { type Route, route } from "../router.ts";
import { containerInspect, containerSummary } from "../versions.ts";

const LIST_FILTERS = new Set(
  ["ancestor", "before", "exited", "expose", "health", "id", "is-task", "isolation", "label", "name"].concat([
    "network",
    "publish",
    "since",
    "status",
    "volume",
  ]),
);
const PRUNE_FILTERS = new Set(["label", "label!", "until"]);

function waitCondition(request: ApiRequest): WaitCondition {
  const given = request.query.text("condition");
  // before 1.30 there were no conditions
  if (!request.atLeast(30) || given === "") return "not-running";
  if (given === "not-running" || given === "next-exit" || given === "removed") return given;
  throw new DhowError("invalid", `invalid condition: ${JSON.stringify(given)}`);
}

function stopOptions(request: ApiRequest): { readonly timeoutS?: number | undefined; readonly signal?: string | undefined } {
  return {
    timeoutS: request.query.integer("t"),
    signal: request.atLeast(42) ? request.query.text("signal") || undefined : undefined,
  };
}

/** /containers: objects and life cycle. */
export function containerRoutes({
  containers,
  lifecycle,
  leases,
}: Pick<EngineApi, "containers" | "lifecycle" | "leases">): readonly Route[] {
  return [
    route("GET", "/containers/json", async (request) => {
      const { query } = request;
      const list = await containers.list({
        all: query.flag("all"),
        limit: query.integer("limit") ?? 0,
        size: query.flag("size"),
        filters: query.filters(LIST_FILTERS),
        signal: request.signal,
      });
      return json(list.map((container) => containerSummary(container, request.version)));
    }),
    route("POST", "/containers/create", async (request) => {
      const decoded = await request.json(containerCreateBody, { required: true });
      const { request: body, warnings } = createRequest(decoded, request.version);
      const created = await containers.create(await withLease(request, body, leases), {
        name: request.query.text("name") || undefined,
        platform: request.atLeast(41) ? request.query.text("platform") || undefined : undefined,
        version: request.version,
        signal: request.signal,
      });
      return json({ Id: created.Id, Warnings: [...(created.Warnings ?? []), ...warnings] }, 201);
    }),
    route("GET", "/containers/:name/json", async (request) =>
      json(containerInspect(await containers.inspect(request.name, { size: request.query.flag("size") }), request.version)),
    ),
    // Not Docker's.
    route("GET", "/containers/:name/why", async ({ name }) => json(await containers.explain(name))),
    route("POST", "/containers/:name/rename", async (request) => {
      await containers.rename(request.name, request.query.text("name"));
      return noContent;
    }),
    route("POST", "/containers/:name/update", async (request) => {
      const body = (await request.json(containerUpdateBody, { required: true })).value as ContainerUpdateRequest;
      return json(await containers.update(request.name, updateRequest(body, request.version)));
    }),
    route("DELETE", "/containers/:name", async (request) => {
      const { query } = request;
      await containers.remove(request.name, { force: query.flag("force"), volumes: query.flag("v"), link: query.flag("link") });
      return noContent;
    }),
    route("POST", "/containers/prune", async (request) => json(await containers.prune(request.query.filters(PRUNE_FILTERS)))),
    route("POST", "/containers/:name/start", async (request) => {
      if (request.bodyLength > 7 || request.bodyLength === -1) {
        throw new DhowError(
          "invalid",
          "starting container with non-empty request body was deprecated since API v1.22 and removed in v1.24",
        );
      }
      const { query } = request;
      await lifecycle.start(request.name, {
        detachKeys: query.optional("detachKeys"),
        checkpoint: query.optional("checkpoint"),
        checkpointDir: query.optional("checkpoint-dir"),
        signal: request.signal,
      });
      return noContent;
    }),
    route("POST", "/containers/:name/stop", async (request) => {
      await lifecycle.stop(request.name, stopOptions(request));
      return noContent;
    }),
    route("POST", "/containers/:name/restart", async (request) => {
      await lifecycle.restart(request.name, stopOptions(request));
      return noContent;
    }),
    route("POST", "/containers/:name/kill", async (request) => {
      await lifecycle.kill(request.name, request.query.text("signal") || "SIGKILL");
      return noContent;
    }),
    route("POST", "/containers/:name/pause", async (request) => {
      await lifecycle.pause(request.name);
      return noContent;
    }),
    route("POST", "/containers/:name/unpause", async (request) => {
      await lifecycle.unpause(request.name);
      return noContent;
    }),
    route("POST", "/containers/:name/wait", async (request) => {
      const { exit } = await lifecycle.wait(request.name, waitCondition(request), { signal: request.signal });
      return { kind: "later", body: exit };
    }),
  ];
}
