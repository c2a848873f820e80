import type { AuditRecord, DiskUsage, EngineApi, EventMessage, EventsOptions, Lease, LeaseEnd } from "../../spec/engine/mod.ts";
import { jsonLines } from "../ndjson.ts";
import { filtersParameter, seconds, segment, target } from "../query.ts";
import { jsonBody, type Transport } from "../transport.ts";

/** JSON numbers lose nanoseconds: the field keeps its text beside it. */
export interface PreciseEvent extends EventMessage {
  readonly timeNanoText?: string;
}

async function* events(t: Transport, { sinceNs, untilNs, filters, signal }: EventsOptions): AsyncGenerator<PreciseEvent> {
  const query = {
    since: sinceNs === undefined ? undefined : seconds(sinceNs),
    until: untilNs === undefined ? undefined : seconds(untilNs),
    filters: filtersParameter(filters),
  };
  const response = await t.call({ method: "GET", target: target("/events", query), signal });
  yield* jsonLines<PreciseEvent>(response.body, (line) => {
    const timeNanoText = /"timeNano":(\d+)/.exec(line)?.[1];
    return { ...(JSON.parse(line) as EventMessage), ...(timeNanoText !== undefined && { timeNanoText }) };
  });
}

/** Calls below /leases. */
export function leases(t: Transport): EngineApi["leases"] {
  const path = (ref: string): string => `/leases/${segment(ref, "lease")}`;
  return {
    create: (request) => t.post("/leases", {}, request),
    list: () => t.get("/leases"),
    inspect: (ref) => t.get(path(ref)),
    renew: (ref, ttl) => t.post(`${path(ref)}/renew`, { ttl }),
    addImage: (ref, image) => t.send("POST", `${path(ref)}/images`, { name: image }),
    hold: async (ref, { signal }) => jsonLines<Lease>((await t.call({ method: "GET", target: `${path(ref)}/hold`, signal })).body),
    remove: (ref, { keep }) => t.json<LeaseEnd>({ method: "DELETE", target: target(path(ref), { keep }) }),
  };
}

/** Calls below /sockets. */
export function sockets(t: Transport): EngineApi["sockets"] {
  const path = (name: string): string => `/sockets/${segment(name, "socket")}`;
  return {
    create: (request) => t.post("/sockets", {}, request),
    list: () => t.get("/sockets"),
    inspect: (name) => t.get(path(name)),
    remove: (name) => t.send("DELETE", path(name)),
    audit: async (name, { tail, follow, signal }) =>
      jsonLines<AuditRecord>((await t.call({ method: "GET", target: target(`${path(name)}/audit`, { tail, follow }), signal })).body),
  };
}

/** Calls about the engine as a whole. */
export function system(t: Transport): EngineApi["system"] {
  return {
    version: () => t.get("/version"),
    authenticate: (credentials, { signal }) => t.json({ method: "POST", target: "/auth", ...jsonBody(credentials), signal }),
    info: () => t.get("/info"),
    events: (options) => events(t, options),
    check: ({ repair, deep, signal }) =>
      t.json({ method: repair ? "POST" : "GET", target: target("/system/check", { repair, deep }), signal }),
    diskUsage: async (types) => withoutNulls(await t.get<DiskUsage>("/system/df", { type: types })),
  };
}

function withoutNulls(usage: DiskUsage): DiskUsage {
  const { LayersSize, Images, Containers, Volumes, BuildCache, Logs } = usage;
  return {
    LayersSize,
    Images: Images ?? [],
    Containers: Containers ?? [],
    Volumes: Volumes ?? [],
    BuildCache: BuildCache ?? [],
    Logs: Logs ?? [],
  };
}
