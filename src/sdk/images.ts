import { DhowError, isKind } from "../lib/mod.ts";
import type { ImageDeleteResponseItem, ImageInspect, ImageSummary, ProgressMessage } from "../spec/engine/mod.ts";
import type { EngineAccess, SignalOption } from "./access.ts";
import { type ByteSource, type ByteStream, byteStream, bytesOf, opened } from "./bytes.ts";
import { type FilterOptions, filtersOf } from "./filters.ts";

/** How to pull an image. */
export interface PullOptions extends SignalOption {
  /** `linux/arm64`. */
  readonly platform?: string | undefined;
  readonly auth?: { readonly username: string; readonly password: string; readonly serveraddress?: string | undefined } | undefined;
  readonly onProgress?: ((message: ProgressMessage) => void) | undefined;
}

/** @throws what the stream reports, its message in the engine's words */
async function finished(progress: AsyncIterable<ProgressMessage>, onMessage: (message: ProgressMessage) => void): Promise<void> {
  for await (const message of progress) {
    onMessage(message);
    const failure = message.errorDetail?.message ?? message.error;
    if (failure !== undefined) throw new DhowError(message.errorDetail?.code === 404 ? "notFound" : "internal", failure);
  }
}

/** The parts of an image's name, with `latest` where it has no tag. */
export function repositoryAndTag(name: string): { readonly repo: string; readonly tag: string } {
  const colon = name.lastIndexOf(":");
  const hasTag = colon > name.lastIndexOf("/");
  return hasTag ? { repo: name.slice(0, colon), tag: name.slice(colon + 1) } : { repo: name, tag: "latest" };
}

/** The images of an engine. */
export class Images {
  readonly #access: EngineAccess;

  constructor(access: EngineAccess) {
    this.#access = access;
  }

  /** Brings an image into the engine: from its registry, or `distro/…` from a distribution's packages. */
  async pull(reference: string, { platform, auth, onProgress, signal }: PullOptions = {}): Promise<ImageInspect> {
    const { transfer } = this.#access.within(signal);
    const authHeader = auth && Buffer.from(JSON.stringify(auth)).toString("base64url");
    await finished(await transfer.pull(reference, { platform, authHeader, signal }), (message) => onProgress?.(message));
    return this.inspect(reference, { signal });
  }

  /** Takes the images out of an archive: of `docker save`, or an OCI layout, also compressed. Returns their names (or ids). */
  async load(archive: ByteSource, { signal }: SignalOption = {}): Promise<readonly string[]> {
    const { transfer } = this.#access.within(signal);
    const names: string[] = [];
    await finished(await transfer.load(bytesOf(archive), { quiet: true, signal }), ({ stream }) => {
      const name = /^Loaded image(?: ID)?: (.*)\n?$/.exec(stream ?? "")?.[1];
      if (name !== undefined) names.push(name);
    });
    return names;
  }

  /** An archive of images, which `load` and `docker load` take. */
  save(references: string | readonly string[], { signal }: SignalOption = {}): ByteStream {
    const names = typeof references === "string" ? [references] : references;
    return byteStream(opened(() => this.#access.within(signal).transfer.save(names, { signal })));
  }

  async list({ filters, all = false, signal }: FilterOptions & { readonly all?: boolean } = {}): Promise<ImageSummary[]> {
    const flags = { all, digests: false, sharedSize: false, manifests: false };
    return this.#access.within(signal).images.list({ ...flags, filters: filtersOf(filters), signal });
  }

  async inspect(reference: string, { signal }: SignalOption = {}): Promise<ImageInspect> {
    return this.#access.within(signal).images.inspect(reference, {});
  }

  /** Whether the engine has it. */
  async has(reference: string, options: SignalOption = {}): Promise<boolean> {
    try {
      await this.inspect(reference, options);
      return true;
    } catch (error) {
      if (isKind(error, "notFound")) return false;
      throw error;
    }
  }

  /** Gives an image another name: `name`, `name:tag`. */
  async tag(reference: string, target: string, { signal }: SignalOption = {}): Promise<void> {
    await this.#access.within(signal).images.tag(reference, repositoryAndTag(target));
  }

  /** Removes a name, and the image with its last one. */
  async remove(reference: string, { force = false, signal }: { readonly force?: boolean } & SignalOption = {}) {
    const removed: readonly ImageDeleteResponseItem[] = await this.#access
      .within(signal)
      .images.remove(reference, { force, noPrune: false });
    return removed;
  }

  /** Removes images without a name, or by filters. */
  async prune({ filters, signal }: FilterOptions = {}): Promise<{
    readonly removed: readonly ImageDeleteResponseItem[];
    readonly reclaimedBytes: number;
  }> {
    const { ImagesDeleted, SpaceReclaimed } = await this.#access.within(signal).images.prune(filtersOf(filters));
    return { removed: ImagesDeleted ?? [], reclaimedBytes: SpaceReclaimed };
  }
}
