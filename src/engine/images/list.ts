import { createdNs, type Image } from "../../images/mod.ts";
import type { ChainId, Digest } from "../../lib/mod.ts";
import type { ImageListOptions, ImageSummary } from "../../spec/engine/mod.ts";
import { parseReference, type Reference, referenceMatcher } from "../../spec/reference.ts";
import type { ImageDeps } from "./deps.ts";
import { boolFilter, checkFilters, labelsMatch, untilFilters } from "./filters.ts";

const FILTERS = ["dangling", "label", "label!", "before", "since", "reference", "until"];
const NOT_COUNTED = -1;

interface Selection {
  /** undefined = both kinds. */
  readonly dangling: boolean | undefined;
  readonly beforeNs: bigint | undefined;
  readonly sinceNs: bigint | undefined;
  readonly matchers: readonly ((reference: Reference) => boolean)[];
  readonly parents: ReadonlySet<Digest>;
}

/** The times of the images that a filter names: of several values the strictest counts. */
function times(deps: ImageDeps, refs: readonly string[] | undefined): bigint[] {
  return (refs ?? []).map((ref) => createdNs(deps.store.resolve(ref)));
}

function select(deps: ImageDeps, images: readonly Image[], options: ImageListOptions): Selection {
  const { filters } = options;
  const least = (all: readonly bigint[]): bigint | undefined =>
    all.reduce<bigint | undefined>((a, b) => (a === undefined || b < a ? b : a), undefined);
  const most = (all: readonly bigint[]): bigint | undefined =>
    all.reduce<bigint | undefined>((a, b) => (a === undefined || b > a ? b : a), undefined);
  return {
    dangling: filters["dangling"] === undefined || filters["dangling"].length === 0 ? undefined : boolFilter(filters, "dangling", false),
    beforeNs: least([...times(deps, filters["before"]), ...untilFilters(filters)]),
    sinceNs: most(times(deps, filters["since"])),
    matchers: (filters["reference"] ?? []).map(referenceMatcher),
    parents: new Set(images.flatMap((image) => (image.parent === null ? [] : [image.parent]))),
  };
}

/** The names under which an image is shown, or undefined when it is not shown at all. */
function shownNames(
  image: Image,
  selection: Selection,
  options: ImageListOptions,
): Pick<ImageSummary, "RepoTags" | "RepoDigests"> | undefined {
  const { beforeNs, sinceNs, dangling, matchers, parents } = selection;
  const time = createdNs(image);
  if ((beforeNs !== undefined && time >= beforeNs) || (sinceNs !== undefined && time <= sinceNs)) return undefined;
  if (!labelsMatch(options.filters, image.config.config?.Labels)) return undefined;
  const fits = (name: string): boolean => matchers.length === 0 || matchers.some((matches) => matches(parseReference(name)));
  const RepoTags = image.names.filter(fits);
  const RepoDigests = image.digests.filter(fits);
  if (RepoTags.length + RepoDigests.length === 0) {
    const isIntermediate = parents.has(image.id);
    if ((isIntermediate && !options.all) || (isIntermediate && dangling === true) || dangling === false || matchers.length > 0)
      return undefined;
  } else if (dangling === true && RepoTags.length > 0) return undefined;
  return { RepoTags, RepoDigests };
}

/** How many bytes of each image's layers another image has too. */
function sharedSizes(deps: ImageDeps, images: readonly Image[]): Map<Digest, number> {
  const uses = new Map<ChainId, number>();
  for (const image of images) for (const layer of image.layers) uses.set(layer, (uses.get(layer) ?? 0) + 1);
  return new Map(
    images.map((image) => {
      const shared = image.layers.filter((layer) => (uses.get(layer) ?? 0) > 1);
      return [image.id, shared.reduce((sum, layer) => sum + (deps.layers.get(layer)?.sizeBytes ?? 0), 0)];
    }),
  );
}

/** Lists images, newest first. @throws invalid for a bad filter; notFound for an image that a filter names */
export function listImages(deps: ImageDeps, options: ImageListOptions): ImageSummary[] {
  checkFilters(options.filters, FILTERS);
  const images = deps.store.list();
  const selection = select(deps, images, options);
  const shared = options.sharedSize ? sharedSizes(deps, images) : undefined;
  return images
    .toSorted((a, b) => (createdNs(a) === createdNs(b) ? 0 : createdNs(a) < createdNs(b) ? 1 : -1))
    .flatMap((image): ImageSummary[] => {
      const names = shownNames(image, selection, options);
      if (!names) return [];
      return [
        {
          Containers: deps.imageUsers(image.id).length,
          Created: Number(createdNs(image) / 1_000_000_000n),
          Id: image.id,
          Labels: image.config.config?.Labels ?? null,
          ParentId: image.parent ?? "",
          RepoDigests: names.RepoDigests,
          RepoTags: names.RepoTags,
          SharedSize: shared?.get(image.id) ?? NOT_COUNTED,
          Size: image.sizeBytes,
        },
      ];
    });
}
