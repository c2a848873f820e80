import type { ImageDeleteResponseItem, ImageHistoryResponseItem, ImageInspect, ImageSummary } from "../dto.ts";
import type { ImageGcOptions, ImageGcReport, KeptImage } from "../image-gc.ts";
import type { CallOptions, Filters } from "./call.ts";

/** One line of a progress stream: load, import, pull, bootstrap. Docker's jsonmessage. */
export interface ProgressMessage {
  readonly stream?: string | undefined;
  readonly status?: string | undefined;
  readonly id?: string | undefined;
  readonly progress?: string | undefined;
  readonly progressDetail?: { readonly current?: number; readonly total?: number; readonly units?: string } | undefined;
  readonly aux?: unknown;
  readonly error?: string | undefined;
  readonly errorDetail?: { readonly code?: number; readonly message: string } | undefined;
}

export interface ImageListOptions extends CallOptions {
  readonly all: boolean;
  readonly digests: boolean;
  readonly sharedSize: boolean;
  readonly manifests: boolean;
  readonly filters: Filters;
}

/** Images as objects. */
export interface ImagesApi {
  list(options: ImageListOptions): Promise<ImageSummary[]>;
  inspect(
    ref: string,
    options: { readonly platform?: string | undefined; readonly manifests?: boolean | undefined },
  ): Promise<ImageInspect>;
  history(ref: string, options: { readonly platform?: string | undefined }): Promise<ImageHistoryResponseItem[]>;
  tag(ref: string, target: { readonly repo: string; readonly tag: string }): Promise<void>;
  /** Of `platforms` the image must be for one. */
  remove(
    ref: string,
    options: { readonly force: boolean; readonly noPrune: boolean; readonly platforms?: readonly string[] | undefined },
  ): Promise<ImageDeleteResponseItem[]>;
  /** Says whether collections and prunes leave an image alone. */
  pin(ref: string, isPinned: boolean): Promise<void>;
  /** What keeps an image when the disk gets full. */
  whyKept(ref: string): Promise<KeptImage>;
  /** Removes the images that were used least recently, until there is enough room. */
  collect(options: ImageGcOptions): Promise<ImageGcReport>;
  prune(filters: Filters): Promise<{ readonly ImagesDeleted: ImageDeleteResponseItem[] | null; readonly SpaceReclaimed: number }>;
}

/** Images on the move. Progress streams end with the error as their last message, as docker's do, once they have begun. */
export interface ImageTransferApi {
  /** Makes the image of `reference` come into the store: `distro/…` is made from packages, else from a registry. */
  pull(
    reference: string,
    options: { readonly platform?: string | undefined; readonly authHeader?: string | undefined } & CallOptions,
  ): Promise<AsyncIterable<ProgressMessage>>;
  /** A base image from the distribution's packages, with more of them, under a tag of the caller's. */
  bootstrap(
    options: { readonly source: string; readonly include: readonly string[]; readonly tags: readonly string[] } & CallOptions,
  ): Promise<AsyncIterable<ProgressMessage>>;
  /** A docker archive or an OCI layout, also compressed. */
  load(
    archive: AsyncIterable<Uint8Array>,
    options: { readonly quiet: boolean; readonly platforms?: readonly string[] | undefined } & CallOptions,
  ): Promise<AsyncIterable<ProgressMessage>>;
  save(
    refs: readonly string[],
    options: { readonly platforms?: readonly string[] | undefined } & CallOptions,
  ): Promise<AsyncIterable<Uint8Array>>;
  /** A root file system as one layer: its bytes, or a URL where the engine gets them. */
  import(
    rootfs: AsyncIterable<Uint8Array> | { readonly url: string },
    options: {
      readonly repo: string;
      readonly tag: string;
      readonly message: string;
      readonly changes: readonly string[];
      readonly platform: string;
    } & CallOptions,
  ): Promise<AsyncIterable<ProgressMessage>>;
}
