import { DhowError } from "../../lib/mod.ts";
import type { EngineApi, VolumeCompression, VolumeCreateRequest } from "../../spec/engine/mod.ts";
import { volumeCreateBody } from "../bodies.ts";
import { progressError } from "../errors.ts";
import { withLease } from "../lease-header.ts";
import { json, noContent } from "../reply.ts";
import { type Route, route } from "../router.ts";
import { NOT_A_MANAGER } from "./absent.ts";

const LIST_FILTERS = new Set(["dangling", "driver", "label", "name"]);
const PRUNE_FILTERS = new Set(["all", "label", "label!"]);

/** /volumes */
export function volumeRoutes({
  volumes,
  volumeContents,
  leases,
}: Pick<EngineApi, "volumes" | "volumeContents" | "leases">): readonly Route[] {
  return [
    route("GET", "/volumes", async (request) => json(await volumes.list(request.query.filters(LIST_FILTERS)))),
    route("POST", "/volumes/create", async (request) => {
      const { value } = await request.json(volumeCreateBody);
      if (request.atLeast(42) && value.ClusterVolumeSpec) throw new DhowError("unavailable", NOT_A_MANAGER);
      return json(await volumes.create(await withLease(request, value as VolumeCreateRequest, leases)), 201);
    }),
    route("GET", "/volumes/:name", async (request) => json(await volumes.inspect(request.name))),
    route("DELETE", "/volumes/:name", async (request) => {
      await volumes.remove(request.name, { force: request.query.flag("force") });
      return noContent;
    }),
    ...contentRoutes(volumeContents),
    route("POST", "/volumes/prune", async (request) => {
      const filters = request.query.filters(PRUNE_FILTERS);
      // named volumes are spared since 1.42
      const wanted = request.atLeast(42) ? filters : { ...filters, all: ["true"] };
      return json(await volumes.prune(wanted, { signal: request.signal }));
    }),
  ];
}

function compressionOf(text: string): VolumeCompression {
  if (text === "" || text === "none") return "none";
  if (text === "gzip" || text === "zstd") return text;
  throw new DhowError("invalid", `invalid compression ${JSON.stringify(text)}: must be gzip, zstd or none`);
}

function labelsOf(text: string): Readonly<Record<string, string>> | undefined {
  if (text === "") return undefined;
  let labels: unknown;
  try {
    labels = JSON.parse(text);
  } catch (cause) {
    throw new DhowError("invalid", "invalid labels: not JSON", { cause });
  }
  const isMap = typeof labels === "object" && labels !== null && Object.values(labels).every((value) => typeof value === "string");
  if (!isMap || Array.isArray(labels)) throw new DhowError("invalid", "invalid labels: not an object of strings");
  return labels as Record<string, string>;
}

/** dhow's own: copies, archives, names and sizes of volumes. */
function contentRoutes(contents: EngineApi["volumeContents"]): readonly Route[] {
  return [
    route("POST", "/volumes/:name/clone", async ({ name, query, signal }) => ({
      kind: "lines",
      contentType: "application/json",
      after: "\r\n",
      failure: progressError,
      lines: await contents.clone(name, {
        name: query.text("name") || undefined,
        labels: labelsOf(query.text("labels")),
        isSnapshot: query.flag("snapshot"),
        pause: query.flag("pause", true),
        signal,
      }),
    })),
    route("GET", "/volumes/:name/export", async ({ name, query, signal }) => {
      const chunks = await contents.export(name, { compression: compressionOf(query.text("compression")), signal });
      return { kind: "bytes", contentType: "application/x-tar", chunks };
    }),
    route("POST", "/volumes/:name/import", async ({ name, query, body, signal }) => {
      const options = { labels: labelsOf(query.text("labels")), size: query.text("size") || undefined, signal };
      return json(await contents.import(name, body, options), 201);
    }),
    route("POST", "/volumes/:name/rename", async ({ name, query }) => json(await contents.rename(name, query.text("name")))),
    route("POST", "/volumes/:name/resize", async ({ name, query }) => json(await contents.resize(name, query.text("size")))),
  ];
}
