import { DhowError } from "../../lib/mod.ts";
import type {
  Filters,
  ImageDeleteResponseItem,
  ImageGcOptions,
  ImageGcReport,
  ImageHistoryResponseItem,
  ImageListOptions,
  ImageSummary,
  ImagesApi,
  KeptImage,
} from "../../spec/engine/mod.ts";
import { familiarName, familiarString, parseReference, withDefaultTag, withTag } from "../../spec/reference.ts";
import { emitImage, type ImageDeps } from "./deps.ts";
import type { ImageGc } from "./gc/gc.ts";
import { checkPlatforms, type ImageInspectFull, imageHistory, inspectImage } from "./inspect.ts";
import { listImages } from "./list.ts";
import { pruneImages } from "./prune.ts";
import { removeImage } from "./remove.ts";

/** Images as objects. */
export class Images implements ImagesApi {
  readonly #deps: ImageDeps;

  readonly #gc: ImageGc;

  constructor(deps: ImageDeps, gc: ImageGc) {
    this.#deps = deps;
    this.#gc = gc;
  }

  async list(options: ImageListOptions): Promise<ImageSummary[]> {
    return listImages(this.#deps, options);
  }

  async inspect(ref: string, options: { readonly platform?: string | undefined }): Promise<ImageInspectFull> {
    return inspectImage(this.#deps, ref, options);
  }

  async history(ref: string, options: { readonly platform?: string | undefined }): Promise<ImageHistoryResponseItem[]> {
    return imageHistory(this.#deps, ref, options);
  }

  async tag(ref: string, target: { readonly repo: string; readonly tag: string }): Promise<void> {
    const repository = parseReference(target.repo);
    if (repository.digest !== null) throw new DhowError("invalid", "refusing to create a tag with a digest reference");
    const name = target.tag === "" ? withDefaultTag(repository) : withTag(repository, target.tag);
    if (familiarName(name) === "sha256") {
      throw new DhowError("invalid", "refusing to create an ambiguous tag using digest algorithm as name");
    }
    const image = this.#deps.store.resolve(ref);
    this.#deps.store.tag(name, image.id);
    emitImage(this.#deps, "tag", image, familiarString(name));
  }

  async remove(ref: string, options: Parameters<ImagesApi["remove"]>[1]): Promise<ImageDeleteResponseItem[]> {
    if (options.platforms !== undefined) checkPlatforms(this.#deps, ref, options.platforms);
    return removeImage(this.#deps, ref, options);
  }

  async pin(ref: string, isPinned: boolean): Promise<void> {
    const { store } = this.#deps;
    store.uses.setPinned(store.resolve(ref).id, isPinned);
  }

  async whyKept(ref: string): Promise<KeptImage> {
    return this.#gc.explain(this.#deps.store.resolve(ref));
  }

  collect(options: ImageGcOptions): Promise<ImageGcReport> {
    return this.#gc.collect(options);
  }

  async prune(filters: Filters): Promise<{ readonly ImagesDeleted: ImageDeleteResponseItem[] | null; readonly SpaceReclaimed: number }> {
    return pruneImages(this.#deps, filters);
  }
}
