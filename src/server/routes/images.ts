import { DhowError, parseBytes } from "../../lib/mod.ts";
import { type EngineApi, type Filters, LEASE_LABEL } from "../../spec/engine/mod.ts";
import { parsePlatform } from "../decode.ts";
import { progressError } from "../errors.ts";
import { bindingImages, requestedLease } from "../lease-header.ts";
import { json, noContent, type Reply } from "../reply.ts";
import type { ApiRequest } from "../request.ts";
import { type Route, route } from "../router.ts";
import { imageInspect, imageSummary } from "../versions.ts";

const LIST_FILTERS = new Set(["before", "dangling", "label", "label!", "reference", "since", "until"]);
const PRUNE_FILTERS = new Set(["dangling", "label", "label!", "until"]);

function listFilters(request: ApiRequest): Filters {
  const filters = request.query.filters(LIST_FILTERS);
  const old = request.atLeast(41) ? "" : request.query.text("filter");
  return old === "" ? filters : { ...filters, reference: [...(filters["reference"] ?? []), old] };
}

function platformOf(request: ApiRequest, since: number): string | undefined {
  const given = request.query.text("platform");
  return given === "" || !request.atLeast(since) ? undefined : parsePlatform(given);
}

function removedPlatforms(request: ApiRequest): readonly string[] | undefined {
  const given = request.query.all("platforms").filter((text) => text !== "");
  return given.length === 0 || !request.atLeast(50) ? undefined : given.map(parsePlatform);
}

function platformsOf(request: ApiRequest): readonly string[] | undefined {
  const given = request.query.all("platform").filter((text) => text !== "");
  if (given.length === 0 || !request.atLeast(48)) return undefined;
  if (given.length > 1 && !request.atLeast(52)) {
    throw new DhowError("invalid", "multiple platform parameters are not supported in this API version; use API version 1.52 or later");
  }
  return given.map(parsePlatform);
}

/** `repo` and `tag` as docker puts them together: a tag with a colon is a digest. */
function reference(name: string, tag: string): string {
  if (tag === "") return name;
  return tag.includes(":") ? `${name}@${tag}` : `${name}:${tag}`;
}

function progress(lines: AsyncIterable<unknown>): Reply {
  return { kind: "lines", contentType: "application/json", lines, after: "\r\n", failure: progressError };
}

/** What is wrong with an archive is told in the stream, which has begun for the client. */
function failing(error: unknown): AsyncIterable<never> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }) };
}

/** /images */
export function imageRoutes({ images, transfer, leases }: Pick<EngineApi, "images" | "transfer" | "leases">): readonly Route[] {
  const save = async (request: ApiRequest, names: readonly string[]): Promise<Reply> => ({
    kind: "bytes",
    contentType: "application/x-tar",
    chunks: await transfer.save(names, { platforms: platformsOf(request), signal: request.signal }),
    failure: progressError,
  });
  return [
    route("GET", "/images/json", async (request) => {
      const { query } = request;
      const manifests = request.atLeast(47) && query.flag("manifests");
      if (!manifests && request.atLeast(54) && query.flag("identity"))
        throw new DhowError("invalid", "conflicting options: identity requires manifests=1");
      const list = await images.list({
        all: query.flag("all"),
        digests: query.flag("digests"),
        sharedSize: request.atLeast(42) && query.flag("shared-size"),
        manifests,
        filters: listFilters(request),
        signal: request.signal,
      });
      return json(list.map((image) => imageSummary(image, request.version)));
    }),
    route("POST", "/images/create", async (request) => {
      const { query, signal } = request;
      const platform = request.atLeast(32) ? query.text("platform") : "";
      // `pull -a` of old clients leaves a colon
      const image = query.text("fromImage").replace(/:$/, "");
      if (image !== "") {
        const name = reference(image, query.text("tag"));
        const lease = await requestedLease(request, leases);
        const lines = await transfer.pull(name, {
          platform: platform || undefined,
          authHeader: request.header("x-registry-auth") || undefined,
          signal,
        });
        return progress(bindingImages(lines, lease, leases));
      }
      const source = query.text("fromSrc");
      if (source === "") throw new DhowError("invalid", "no image or source given: set fromImage or fromSrc");
      const [repo, tag] = [query.text("repo"), query.text("tag")];
      const lease = await requestedLease(request, leases);
      const options = {
        repo,
        tag,
        message: query.text("message") || `Imported from ${source}`,
        changes: [...query.all("changes"), ...(lease === undefined ? [] : [`LABEL ${LEASE_LABEL}=${lease}`])],
        platform,
        signal,
      };
      return progress(await transfer.import(source === "-" ? request.body : { url: source }, options));
    }),
    // Not Docker's: a base image from a distribution's packages, with more of them than `pull` takes.
    route("POST", "/images/bootstrap", async ({ query, signal }) =>
      progress(await transfer.bootstrap({ source: query.text("source"), include: query.all("include"), tags: query.all("t"), signal })),
    ),
    route("POST", "/images/load", async (request) => {
      const options = { quiet: request.query.flag("quiet", true), platforms: platformsOf(request), signal: request.signal };
      const lease = await requestedLease(request, leases);
      try {
        return progress(bindingImages(await transfer.load(request.body, options), lease, leases));
      } catch (error) {
        return progress(failing(error));
      }
    }),
    route("GET", "/images/get", (request) => save(request, request.query.all("names"))),
    route("GET", "/images/:name/get", (request) => save(request, [request.name])),
    route("GET", "/images/:name/json", async (request) => {
      const manifests = request.atLeast(48) && request.query.flag("manifests");
      const platform = platformOf(request, 49);
      if (manifests && platform !== undefined)
        throw new DhowError("invalid", "conflicting options: manifests and platform options cannot both be set");
      return json(imageInspect(await images.inspect(request.name, { manifests, platform }), request.version));
    }),
    route("GET", "/images/:name/history", async (request) =>
      json(await images.history(request.name, { platform: platformOf(request, 48) })),
    ),
    route("POST", "/images/:name/tag", async (request) => {
      await images.tag(request.name, { repo: request.query.text("repo"), tag: request.query.text("tag") });
      return { kind: "empty", status: 201 };
    }),
    // Not Docker's.
    route("POST", "/images/:name/pin", async ({ name }) => {
      await images.pin(name, true);
      return noContent;
    }),
    route("POST", "/images/:name/unpin", async ({ name }) => {
      await images.pin(name, false);
      return noContent;
    }),
    route("GET", "/images/:name/why-kept", async ({ name }) => json(await images.whyKept(name))),
    route("POST", "/images/gc", async ({ query }) => {
      const untilFree = query.text("until-free");
      const untilFreeBytes = untilFree === "" ? undefined : parseBytes(untilFree);
      if (untilFree !== "" && untilFreeBytes === undefined) throw new DhowError("invalid", `invalid size: '${untilFree}'`);
      return json(await images.collect({ dryRun: query.flag("dry-run"), untilFreeBytes }));
    }),
    route("DELETE", "/images/:name", async (request) => {
      const { query } = request;
      if (request.name.trim() === "") throw new DhowError("invalid", "image name cannot be blank");
      const platforms = removedPlatforms(request);
      return json(await images.remove(request.name, { force: query.flag("force"), noPrune: query.flag("noprune"), platforms }));
    }),
    route("POST", "/images/prune", async (request) => json(await images.prune(request.query.filters(PRUNE_FILTERS)))),
  ];
}
