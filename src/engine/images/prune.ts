import { createdNs, type Image } from "../../images/mod.ts";
import { type ChainId, isKind } from "../../lib/mod.ts";
import type { Filters, ImageDeleteResponseItem } from "../../spec/engine/mod.ts";
import type { ImageDeps } from "./deps.ts";
import { boolFilter, checkFilters, labelsMatch, untilFilter } from "./filters.ts";
import { removeImage } from "./remove.ts";

const FILTERS = ["dangling", "label", "label!", "until"];

/** The arguments under which an image is removed: its names, or its id when it has none. Digests alone don't keep a dangling image. */
function removals(image: Image, danglingOnly: boolean): readonly string[] {
  if (image.names.length + image.digests.length === 0) return [image.id.slice("sha256:".length)];
  return danglingOnly && image.names.length > 0 ? [] : [...image.names, ...image.digests];
}

/** Removes images that no container uses: those without a name, or with `dangling=false` all. @throws invalid for a bad filter */
export async function pruneImages(
  deps: ImageDeps,
  filters: Filters,
): Promise<{ readonly ImagesDeleted: ImageDeleteResponseItem[] | null; readonly SpaceReclaimed: number }> {
  checkFilters(filters, FILTERS);
  const danglingOnly = boolFilter(filters, "dangling", true);
  const until = untilFilter(filters);
  const sizes = new Map<string, number>(deps.layers.list().map((layer): [ChainId, number] => [layer.chainId, layer.sizeBytes]));
  const deleted: ImageDeleteResponseItem[] = [];
  const candidates = deps.store.list().filter((image) => {
    const isIntermediate = image.names.length + image.digests.length === 0 && deps.store.children(image.id).length > 0;
    if (deps.store.uses.of(image.id).isPinned) return false;
    if (isIntermediate || (danglingOnly && deps.store.children(image.id).length > 0)) return false;
    return (until === undefined || createdNs(image) <= until) && labelsMatch(filters, image.config.config?.Labels);
  });
  for (const image of candidates) {
    for (const ref of removals(image, danglingOnly)) {
      try {
        deleted.push(...(await removeImage(deps, ref, { force: false, noPrune: false })));
      } catch (error) {
        // In use, or gone with the name before.
        if (!isKind(error, "conflict") && !isKind(error, "notFound")) throw error;
      }
    }
  }
  const reclaimed = deleted.reduce((sum, { Deleted }) => sum + (Deleted === undefined ? 0 : (sizes.get(Deleted) ?? 0)), 0);
  deps.emit({ type: "image", action: "prune", id: "", attributes: { reclaimed: String(reclaimed) } });
  return { ImagesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed };
}
