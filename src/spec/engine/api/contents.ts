import type { ContainerConfig, FilesystemChange } from "../dto.ts";
import type { CallOptions } from "./call.ts";

/** What a path in a container stands for; a last link is looked at itself. */
export interface PathStat {
  /** The last part of the path as it was asked for. */
  readonly name: string;
  readonly size: number;
  /** Go's os.FileMode: the permission bits, and above them what kind of file it is. */
  readonly mode: number;
  /** RFC3339Nano. */
  readonly mtime: string;
  /** Where a link leads to in the end, absolute; empty for what is no link. */
  readonly linkTarget: string;
}

/** A part of a container's file tree on its way out. */
export interface PathArchive {
  readonly stat: PathStat;
  /** A tar; to be read to its end or given up by `return`. */
  readonly archive: AsyncIterable<Uint8Array>;
}

export interface PutArchiveOptions extends CallOptions {
  /** Refuse to put a directory in the place of something else, and the other way round. */
  readonly noOverwriteDirNonDir: boolean;
  /** Give everything to the container's user, instead of to whom the archive says. */
  readonly copyUidGid: boolean;
}

/** The files of a container, whether it runs or not; paths and links are those that its processes see. */
export interface ContainerFilesApi {
  stat(ref: string, path: string, options?: CallOptions): Promise<PathStat>;
  getArchive(ref: string, path: string, options: CallOptions): Promise<PathArchive>;
  /** Unpacks a tar, also a compressed one, into a directory. What was written before a failure stays. */
  putArchive(ref: string, path: string, archive: AsyncIterable<Uint8Array>, options: PutArchiveOptions): Promise<void>;
}

export interface CommitOptions extends CallOptions {
  /** What the image is to be called; empty = nothing. */
  readonly repo: string;
  readonly tag: string;
  readonly author: string;
  readonly comment: string;
  /** Freeze a running container meanwhile. */
  readonly pause: boolean;
  /** Dockerfile instructions. */
  readonly changes: readonly string[];
  /** In the place of the container's configuration, which fills in what this one leaves open. */
  readonly config?: ContainerConfig | undefined;
}

/** What is in a container's file system. */
export interface ContainerContentsApi {
  /** What the container has changed of its image: kinds 0 modified, 1 added, 2 deleted; null when that is nothing. */
  changes(ref: string, options: CallOptions): Promise<FilesystemChange[] | null>;
  /** The container's file system as a tar, without what is mounted in it. Each chunk is good until the next but one is asked for. */
  export(ref: string, options: CallOptions): Promise<AsyncIterable<Uint8Array>>;
  /** Makes an image of the container's changes. */
  commit(ref: string, options: CommitOptions): Promise<{ readonly Id: string }>;
}
