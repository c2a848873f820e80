import type { EngineApi, ProgressMessage } from "../../spec/engine/mod.ts";
import type { HttpRequest } from "../http.ts";
import { jsonLines } from "../ndjson.ts";
import { filtersParameter, imagePath, platformParameter, target } from "../query.ts";
import type { Transport } from "../transport.ts";

/** Calls below /images that list, name and remove. */
export function images(t: Transport): EngineApi["images"] {
  return {
    list: ({ all, digests, sharedSize, manifests, filters, signal }) =>
      t.json({
        method: "GET",
        target: target("/images/json", { all, digests, "shared-size": sharedSize, manifests, filters: filtersParameter(filters) }),
        signal,
      }),
    inspect: (ref, { platform, manifests }) =>
      t.get(`/images/${imagePath(ref)}/json`, { platform: platformParameter(platform), manifests }),
    history: (ref, { platform }) => t.get(`/images/${imagePath(ref)}/history`, { platform: platformParameter(platform) }),
    tag: (ref, { repo, tag }) => t.send("POST", `/images/${imagePath(ref)}/tag`, { repo, tag }),
    remove: (ref, { force, noPrune, platforms }) =>
      t.json({
        method: "DELETE",
        target: target(`/images/${imagePath(ref)}`, { force, noprune: noPrune, platforms: platformParameters(platforms) }),
      }),
    pin: (ref, isPinned) => t.send("POST", `/images/${imagePath(ref)}/${isPinned ? "pin" : "unpin"}`),
    whyKept: (ref) => t.get(`/images/${imagePath(ref)}/why-kept`),
    collect: ({ dryRun, untilFreeBytes }) => t.post("/images/gc", { "dry-run": dryRun, "until-free": untilFreeBytes }),
    prune: (filters) => t.post("/images/prune", { filters: filtersParameter(filters) }),
  };
}

function platformParameters(platforms: readonly string[] | undefined): readonly string[] | undefined {
  return platforms?.flatMap((platform) => platformParameter(platform) ?? []);
}

/** Docker's `fromImage` and `tag`: a digest goes where the tag does. */
function pullQuery(reference: string): { readonly fromImage: string; readonly tag: string } {
  const at = reference.indexOf("@");
  if (at >= 0) return { fromImage: reference.slice(0, at).replace(/:[^/:]*$/, ""), tag: reference.slice(at + 1) };
  const colon = reference.lastIndexOf(":");
  if (colon > reference.lastIndexOf("/")) return { fromImage: reference.slice(0, colon), tag: reference.slice(colon + 1) };
  return { fromImage: reference, tag: "latest" };
}

/** Calls that bring images in and take them out. */
export function transfer(t: Transport): EngineApi["transfer"] {
  const progress = async (request: HttpRequest): Promise<AsyncIterable<ProgressMessage>> => jsonLines((await t.call(request)).body);
  return {
    pull: (reference, { platform, authHeader, signal }) =>
      progress({
        method: "POST",
        target: target("/images/create", { ...pullQuery(reference), platform }),
        headers: authHeader === undefined ? {} : { "X-Registry-Auth": authHeader },
        signal,
      }),
    bootstrap: ({ source, include, tags, signal }) =>
      progress({ method: "POST", target: target("/images/bootstrap", { source, include, t: tags }), signal }),
    load: (archive, { quiet, platforms, signal }) =>
      progress({
        method: "POST",
        target: target("/images/load", { quiet: quiet ? "1" : "0", platform: platformParameters(platforms) }),
        headers: { "Content-Type": "application/x-tar" },
        body: archive,
        signal,
      }),
    save: async (refs, { platforms, signal }) =>
      (await t.call({ method: "GET", target: target("/images/get", { names: refs, platform: platformParameters(platforms) }), signal }))
        .body,
    import: (rootfs, { repo, tag, message, changes, platform, signal }) =>
      progress({
        method: "POST",
        target: target("/images/create", {
          fromSrc: Symbol.asyncIterator in rootfs ? "-" : rootfs.url,
          repo,
          tag,
          message,
          changes,
          platform,
        }),
        ...(Symbol.asyncIterator in rootfs && { headers: { "Content-Type": "application/x-tar" }, body: rootfs }),
        signal,
      }),
  };
}
