import type { Volume, VolumeCreateRequest, VolumeListResponse } from "../dto.ts";
import type { CallOptions, Filters } from "./call.ts";
import type { ProgressMessage } from "./images.ts";

export interface VolumesApi {
  create(request: VolumeCreateRequest): Promise<Volume>;
  list(filters: Filters): Promise<VolumeListResponse>;
  inspect(name: string): Promise<Volume>;
  remove(name: string, options: { readonly force: boolean }): Promise<void>;
  prune(filters: Filters, options?: CallOptions): Promise<{ readonly VolumesDeleted: string[] | null; readonly SpaceReclaimed: number }>;
}

/** How a volume is copied to a new one. */
export interface VolumeCloneOptions extends CallOptions {
  /** The new volume's; of a snapshot, made of the source's name and the time when left out. */
  readonly name?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | null | undefined;
  /** Labels the copy with where it is from. */
  readonly isSnapshot: boolean;
  /** Running containers that can write to the volume stand still meanwhile. */
  readonly pause: boolean;
}

export type VolumeCompression = "none" | "gzip" | "zstd";

/** What of volumes docker has no words for: copies, archives, other names, other sizes. */
export interface VolumeContentsApi {
  /** Resolves once it is begun; the last message's `aux` is the new volume. */
  clone(source: string, options: VolumeCloneOptions): Promise<AsyncIterable<ProgressMessage>>;
  /** A tar of what is in the volume. */
  export(name: string, options: { readonly compression: VolumeCompression } & CallOptions): Promise<AsyncIterable<Uint8Array>>;
  /** A new volume with what is in a tar, compressed or not. */
  import(
    name: string,
    archive: AsyncIterable<Uint8Array>,
    options: { readonly labels?: Readonly<Record<string, string>> | null | undefined; readonly size?: string | undefined } & CallOptions,
  ): Promise<Volume>;
  rename(name: string, to: string): Promise<Volume>;
  /** Of a volume that was made with a size. */
  resize(name: string, size: string): Promise<Volume>;
}

/** The volume that a snapshot is of, as its label. */
export const SNAPSHOT_LABEL = "dhow.snapshot-of";
