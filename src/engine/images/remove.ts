import type { Image } from "../../images/mod.ts";
import { DhowError, type Digest, shortId } from "../../lib/mod.ts";
import type { ImageDeleteResponseItem } from "../../spec/engine/mod.ts";
import { familiarString, parseReference, type Reference, repositoryName, withDefaultTag } from "../../spec/reference.ts";
import { emitImage, type ImageDeps } from "./deps.ts";

type Records = ImageDeleteResponseItem[];

interface Conflict {
  readonly isHard: boolean;
  /** A container uses the image. */
  readonly isUse: boolean;
  readonly message: string;
}

/** Which conflicts count; children and running containers always do. */
interface Mask {
  readonly references: boolean;
  readonly stopped: boolean;
}

/** Whether all names are of one repository with one tag at most: then removing the image by its id removes them. */
function isSingleReference(references: readonly Reference[]): boolean {
  if (references.length <= 1) return references.length === 1;
  const tagged = references.filter((r) => r.digest === null);
  if (tagged.length > 1) return false;
  const single = tagged[0] ?? references[0];
  const digestRepositories = new Set(references.filter((r) => r.digest !== null).map(repositoryName));
  return single !== undefined && digestRepositories.size === 1 && digestRepositories.has(repositoryName(single));
}

/** Whether the argument was (the start of) the image's id. */
function isIdPrefix(id: Digest, ref: string): boolean {
  return id.startsWith(ref) || id.slice("sha256:".length).startsWith(ref);
}

function conflictOf(deps: ImageDeps, id: Digest, mask: Mask): Conflict | undefined {
  if (deps.store.children(id).length > 0) return { isHard: true, isUse: false, message: "image has dependent child images" };
  const users = deps.imageUsers(id);
  const running = users.find((user) => user.running);
  if (running) return { isHard: true, isUse: true, message: `image is being used by running container ${shortId(running.id)}` };
  if (mask.references && deps.store.references(id).length > 0) {
    return { isHard: false, isUse: false, message: "image is referenced in multiple repositories" };
  }
  const stopped = users.find((user) => !user.running);
  if (mask.stopped && stopped)
    return { isHard: false, isUse: true, message: `image is being used by stopped container ${shortId(stopped.id)}` };
  return undefined;
}

function conflictError(id: Digest, conflict: Conflict): DhowError {
  const force = conflict.isHard ? "cannot be forced" : "must be forced";
  return new DhowError("conflict", `conflict: unable to delete ${shortId(id)} (${force}) - ${conflict.message}`);
}

function untag(deps: ImageDeps, image: Image, reference: Reference, records: Records): void {
  deps.store.untag(reference);
  emitImage(deps, "untag", image);
  records.push({ Untagged: familiarString(reference) });
}

/** Takes the named reference away, with the digests of its repository when its last tag goes. Returns whether names are left. */
function untagNamed(deps: ImageDeps, image: Image, named: Reference, records: Records): boolean {
  untag(deps, image, named, records);
  const left = deps.store.references(image.id);
  const own = left.filter((r) => repositoryName(r) === repositoryName(named));
  if (named.digest !== null || own.some((r) => r.digest === null)) return left.length > 0;
  for (const reference of own) {
    deps.store.untag(reference);
    records.push({ Untagged: familiarString(reference) });
  }
  return left.length > own.length;
}

/** Deletes an image without names, then its parents as long as nothing else needs them. @throws conflict unless `isQuiet` */
async function deleteImage(
  deps: ImageDeps,
  id: Digest,
  records: Records,
  options: { force: boolean; prune: boolean; isQuiet: boolean },
): Promise<void> {
  const conflict = conflictOf(deps, id, { references: !options.force, stopped: !options.force });
  if (conflict) {
    const isDangling = deps.store.references(id).length === 0 && deps.store.children(id).length === 0;
    if (options.isQuiet && (!isDangling || conflict.isUse)) return;
    throw conflictError(id, conflict);
  }
  const image = deps.store.get(id);
  for (const reference of deps.store.references(id)) untag(deps, image, reference, records);
  const layers = await deps.store.delete(id);
  emitImage(deps, "delete", image);
  records.push({ Deleted: id }, ...layers.map((layer) => ({ Deleted: layer })));
  if (options.prune && image.parent !== null && deps.store.tryGet(image.parent)) {
    await deleteImage(deps, image.parent, records, { force: false, prune: true, isQuiet: true });
  }
}

/**
 * Removes a name, or an image with its names; of an image with its last name gone, also the layers and parents that nothing else uses.
 * Answers in docker's order: names, the image, its layers from the top, its parents.
 * @throws notFound; conflict in docker's words
 */
export async function removeImage(
  deps: ImageDeps,
  ref: string,
  options: { readonly force: boolean; readonly noPrune: boolean },
): Promise<Records> {
  const image = deps.store.resolve(ref);
  const references = deps.store.references(image.id);
  const records: Records = [];
  const { force } = options;
  const isById = isIdPrefix(image.id, ref);
  if (!isById) {
    const user = deps.imageUsers(image.id)[0];
    if (!force && isSingleReference(references) && user) {
      throw new DhowError(
        "conflict",
        `conflict: unable to remove repository reference ${JSON.stringify(ref)} (must force) - container ${shortId(user.id)} is using its referenced image ${shortId(image.id)}`,
      );
    }
    if (untagNamed(deps, image, withDefaultTag(parseReference(ref)), records)) return records;
  } else if (isSingleReference(references)) {
    const conflict = conflictOf(deps, image.id, { references: false, stopped: !force });
    if (conflict) throw conflictError(image.id, conflict);
    for (const reference of references) untag(deps, image, reference, records);
  }
  await deleteImage(deps, image.id, records, { force, prune: !options.noPrune, isQuiet: !isById });
  return records;
}
