import { DhowError } from "../../lib/mod.ts";
import type { EngineApi, EventMessage, RegistryCredentials } from "../../spec/engine/mod.ts";
import { authBody } from "../bodies.ts";
import { parseTimestamp } from "../decode.ts";
import { json, type Reply } from "../reply.ts";
import type { ApiRequest } from "../request.ts";
import { type Handler, type Route, route } from "../router.ts";
import { API_VERSION, DISK_USAGE_TYPES, diskUsage, eventMessage, hasEvent, MIN_API_VERSION, systemInfo } from "../versions.ts";

function eventTimes(request: ApiRequest, nowMs: number): { readonly sinceNs?: bigint; readonly untilNs?: bigint } {
  const [since, until] = [request.query.text("since"), request.query.text("until")];
  const sinceNs = since === "" ? undefined : parseTimestamp(since, nowMs, "invalid value for 'since': ");
  const untilNs = until === "" ? undefined : parseTimestamp(until, nowMs, "invalid value for 'until': ");
  if (sinceNs !== undefined && untilNs !== undefined && untilNs < sinceNs) {
    throw new DhowError("invalid", `\`since\` time (${since}) cannot be after \`until\` time (${until})`);
  }
  return { ...(sinceNs !== undefined && { sinceNs }), ...(untilNs !== undefined && { untilNs }) };
}

/** The form of the stream of events that the client likes best; wildcards get what is usual in the version. */
function eventForm(request: ApiRequest): { readonly contentType: string; readonly before?: string } {
  const offered = ["application/jsonl", "application/x-ndjson", "application/json-seq"];
  const usual = request.atLeast(52) ? "application/jsonl" : "application/json";
  const accepted = request
    .header("accept")
    .split(",")
    .map(acceptItem)
    .sort((a, b) => b.weight - a.weight);
  const chosen = accepted.find(({ type, weight }) => weight > 0 && offered.includes(type))?.type ?? usual;
  return chosen === "application/json-seq" ? { contentType: chosen, before: "\x1e" } : { contentType: chosen };
}

function acceptItem(item: string): { readonly type: string; readonly weight: number } {
  const [type = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith("q="));
  return { type, weight: weight === undefined ? 1 : Number(weight.slice(2)) };
}

async function* encoded(events: AsyncIterable<EventMessage>, request: ApiRequest): AsyncIterable<object> {
  for await (const event of events) if (hasEvent(event, request.version)) yield eventMessage(event, request.version);
}

function ping(builderVersion: string): Handler {
  const headers = {
    "Builder-Version": builderVersion,
    "Cache-Control": "no-cache, no-store, must-revalidate",
    Pragma: "no-cache",
    Swarm: "inactive",
  };
  return (request) =>
    request.method === "HEAD"
      ? { kind: "empty", status: 200, headers: { ...headers, "Content-Type": "text/plain; charset=utf-8", "Content-Length": "0" } }
      : { kind: "text", status: 200, body: "OK", headers };
}

/** /_ping, /version, /info, /events, /auth, /system/df, /system/check */
export function systemRoutes(
  { system }: Pick<EngineApi, "system">,
  options: { readonly builderVersion: string; readonly now: () => number },
): readonly Route[] {
  const pong = ping(options.builderVersion);
  return [
    route("GET", "/_ping", pong),
    route("HEAD", "/_ping", pong),
    route("GET", "/version", async () => json({ ...(await system.version()), ApiVersion: API_VERSION, MinAPIVersion: MIN_API_VERSION })),
    route("GET", "/info", async (request) => json(systemInfo(await system.info(), request.version))),
    route("GET", "/events", (request): Reply => {
      const events = system.events({ ...eventTimes(request, options.now()), filters: request.query.filters(), signal: request.signal });
      return { kind: "lines", ...eventForm(request), lines: encoded(events, request), after: "\n" };
    }),
    route("GET", "/system/df", async (request) => {
      const given = request.atLeast(42) ? request.query.all("type") : [];
      for (const type of given) {
        if (!DISK_USAGE_TYPES.some((known) => known === type)) throw new DhowError("invalid", `unknown object type: ${type}`);
      }
      const types = given.length > 0 ? given : DISK_USAGE_TYPES;
      const usage = await system.diskUsage(types, { signal: request.signal });
      return json(diskUsage(usage, request.version, { types, verbose: request.query.flag("verbose") }));
    }),
    // Not Docker's.
    route("GET", "/system/check", async (request) =>
      json(await system.check({ repair: false, deep: request.query.flag("deep"), signal: request.signal })),
    ),
    route("POST", "/system/check", async (request) =>
      json(await system.check({ repair: request.query.flag("repair"), deep: request.query.flag("deep"), signal: request.signal })),
    ),
    route("POST", "/auth", async (request) =>
      json(await system.authenticate((await request.json(authBody)).value as RegistryCredentials, { signal: request.signal })),
    ),
  ];
}
