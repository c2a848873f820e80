/**
 * The engine as its front doors see it: server, SDK, compose and CLI know these interfaces and nothing else of it.
 * Two implementations: the engine in this process (`engine/`) and the client over HTTP (`sdk/`).
 * A `ref` is whatever Docker accepts there: name, full id or a unique prefix of an id.
 * Every method throws DhowError with Docker's words: notFound, conflict, invalid, notModified, forbidden, unavailable, unsupported, internal.
 */
import type { CheckOptions, CheckReport } from "./check.ts";
import type { ConditionsApi } from "./conditions.ts";
import type {
  AuthConfig,
  AuthResponse,
  ContainerConfig,
  ContainerCreateResponse,
  ContainerInspectResponse,
  ContainerStatsResponse,
  ContainerSummary,
  ContainerTopResponse,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  EventMessage,
  FilesystemChange,
  HostConfig,
  ImageDeleteResponseItem,
  ImageHistoryResponseItem,
  ImageInspect,
  ImageSummary,
  NetworkConnectRequest,
  NetworkCreateRequest,
  NetworkCreateResponse,
  NetworkDisconnectRequest,
  NetworkInspect,
  NetworkingConfig,
  NetworkSummary,
  ProcessConfig,
  Resources,
  RestartPolicy,
  SystemInfo,
  SystemVersion,
  Volume,
  VolumeCreateRequest,
  VolumeListResponse,
} from "./dto.ts";
import type { EgressApi } from "./egress.ts";
import type { ImageGcOptions, ImageGcReport, KeptImage } from "./image-gc.ts";
import type { LeasesApi } from "./leases.ts";
import type { PortsApi } from "./ports.ts";
import type { SocketsApi } from "./sockets.ts";
import type { Explanation } from "./why.ts";

/** Docker's `filters` parameter: every value given for a key; a negated value (`label!`) has its key with the `!`. */
export type Filters = Readonly<Record<string, readonly string[]>>;

/** Cancels a call whose client went away. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Where bytes of an attached process come from; numbered as in the multiplexed stream's header. */
export type StdStream = "stdout" | "stderr";

/** A piece of output. The receiver must be done with `data` (or have copied it) before it asks for the next chunk. */
export interface OutputChunk {
  readonly stream: StdStream;
  readonly data: Uint8Array;
}

/** A two-way connection with a container's or an exec's process. */
export interface AttachSession {
  /** Whether there is a terminal: then `output` has only stdout, raw. */
  readonly tty: boolean;
  /** Ends when the process's output ends, the client detached, or `close` was called; throws when the log or pipe fails. */
  readonly output: AsyncIterable<OutputChunk>;
  /** Writes to stdin; resolves when the process's pipe took it (back-pressure). Rejected bytes after the process ended are dropped. */
  write(data: Uint8Array): Promise<void>;
  /** No more stdin (half-close). */
  closeStdin(): void;
  /** Gives the connection up; the process goes on. */
  close(): void;
}

export interface AttachOptions extends CallOptions {
  /** Replay the log first. */
  readonly logs: boolean;
  /** Stay connected; without it only the log is replayed. */
  readonly stream: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** `ctrl-p,ctrl-q` form; undefined takes the daemon's default, empty means none. */
  readonly detachKeys?: string | undefined;
}

export interface LogsOptions extends CallOptions {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly timestamps: boolean;
  readonly details: boolean;
  /** Nanoseconds since the epoch; 0n = unbounded. */
  readonly sinceNs: bigint;
  readonly untilNs: bigint;
  /** Number of last lines; -1 = all. */
  readonly tail: number;
}

export interface LogSession {
  readonly tty: boolean;
  readonly output: AsyncIterable<OutputChunk>;
}

export interface ContainerCreateRequest extends ContainerConfig {
  readonly HostConfig?: HostConfig | null | undefined;
  readonly NetworkingConfig?: NetworkingConfig | null | undefined;
}

export interface ContainerCreateOptions extends CallOptions {
  readonly name?: string | undefined;
  /** `os[/arch[/variant]]`, empty = any. */
  readonly platform?: string | undefined;
  /** API version of the request, `[1, 41]`; defaults differ by it. */
  readonly version?: readonly [number, number] | undefined;
}

/** Body of POST /containers/{id}/update: zero and empty mean unchanged. */
export interface ContainerUpdateRequest extends Resources {
  readonly RestartPolicy?: RestartPolicy | undefined;
}

export interface ContainerListOptions extends CallOptions {
  readonly all: boolean;
  /** The n newest, also stopped ones; 0 or less = no limit. */
  readonly limit: number;
  readonly size: boolean;
  readonly filters: Filters;
}

export type WaitCondition = "not-running" | "next-exit" | "removed";

/** Containers as objects. */
export interface ContainersApi {
  create(request: ContainerCreateRequest, options: ContainerCreateOptions): Promise<ContainerCreateResponse>;
  list(options: ContainerListOptions): Promise<ContainerSummary[]>;
  inspect(ref: string, options: { readonly size: boolean }): Promise<ContainerInspectResponse>;
  /** Why it ended, did not start, or is not well. */
  explain(ref: string): Promise<Explanation>;
  rename(ref: string, newName: string): Promise<void>;
  update(ref: string, request: ContainerUpdateRequest): Promise<ContainerUpdateResponse>;
  remove(ref: string, options: { readonly force: boolean; readonly volumes: boolean; readonly link: boolean }): Promise<void>;
  prune(filters: Filters): Promise<{ readonly ContainersDeleted: string[] | null; readonly SpaceReclaimed: number }>;
}

/** How to start a container. The client's going away ends it only while a volume or the source of a mount is waited for. */
export interface StartOptions extends CallOptions {
  readonly detachKeys?: string | undefined;
  /** Its processes go on from there. */
  readonly checkpoint?: string | undefined;
  /** Where the checkpoint is, when that is not with the container. */
  readonly checkpointDir?: string | undefined;
}

/** Body of POST /containers/{id}/checkpoints. */
export interface CheckpointRequest {
  readonly CheckpointID?: string | undefined;
  /** A directory of the host for it; with the container when left out. */
  readonly CheckpointDir?: string | undefined;
  /** End the processes with it. */
  readonly Exit?: boolean | undefined;
}

/** A checkpoint as GET /containers/{id}/checkpoints shows it. */
export interface CheckpointSummary {
  readonly Name: string;
}

/** What containers' processes are, written to files. `dir`: where a client has them made. */
export interface CheckpointsApi {
  create(ref: string, request: CheckpointRequest): Promise<void>;
  list(ref: string, options: { readonly dir?: string | undefined }): Promise<CheckpointSummary[]>;
  remove(ref: string, id: string, options: { readonly dir?: string | undefined }): Promise<void>;
}

/** What a container's process can be told. */
export interface ContainerLifecycleApi {
  start(ref: string, options: StartOptions): Promise<void>;
  /** `timeoutS`: undefined = the container's own (10 s), -1 = wait for ever, 0 = kill at once. */
  stop(ref: string, options: { readonly timeoutS?: number | undefined; readonly signal?: string | undefined }): Promise<void>;
  restart(ref: string, options: { readonly timeoutS?: number | undefined; readonly signal?: string | undefined }): Promise<void>;
  kill(ref: string, signal: string): Promise<void>;
  pause(ref: string): Promise<void>;
  unpause(ref: string): Promise<void>;
  /** Resolves once the wait is registered (a server then sends its headers); `exit` settles when the condition is met. */
  wait(ref: string, condition: WaitCondition, options: CallOptions): Promise<{ readonly exit: Promise<ContainerWaitResponse> }>;
}

/** What goes in and out of a container's process. */
export interface ContainerStreamsApi {
  attach(ref: string, options: AttachOptions): Promise<AttachSession>;
  logs(ref: string, options: LogsOptions): Promise<LogSession>;
  /** Forgets what a container has written until now: not part of Docker's API. */
  clearLogs(ref: string): Promise<void>;
  resize(ref: string, size: { readonly rows: number; readonly columns: number }): Promise<void>;
  top(ref: string, psArgs: string): Promise<ContainerTopResponse>;
  /** One object per second with `stream`, else one and the end; `oneShot` skips the first (pre-)sample. */
  stats(
    ref: string,
    options: { readonly stream: boolean; readonly oneShot: boolean } & CallOptions,
  ): Promise<AsyncIterable<ContainerStatsResponse>>;
}

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

/** Body of POST /containers/{id}/exec. */
export interface ExecCreateRequest {
  readonly AttachStdin?: boolean | undefined;
  readonly AttachStdout?: boolean | undefined;
  readonly AttachStderr?: boolean | undefined;
  readonly ConsoleSize?: readonly number[] | null | undefined;
  readonly DetachKeys?: string | undefined;
  readonly Tty?: boolean | undefined;
  readonly Env?: readonly string[] | null | undefined;
  readonly Cmd?: readonly string[] | null | undefined;
  readonly Privileged?: boolean | undefined;
  readonly User?: string | undefined;
  readonly WorkingDir?: string | undefined;
}

export interface ExecStartRequest {
  readonly Detach?: boolean | undefined;
  readonly Tty?: boolean | undefined;
  readonly ConsoleSize?: readonly number[] | null | undefined;
}

export interface ExecStartOptions extends CallOptions {
  readonly onAccepted?: (() => void) | undefined;
}

export interface ExecInspectResponse {
  readonly CanRemove: boolean;
  /** The keys' bytes, in base64. */
  readonly DetachKeys: string;
  readonly ID: string;
  readonly Running: boolean;
  readonly ExitCode: number | null;
  readonly ProcessConfig: ProcessConfig;
  readonly OpenStdin: boolean;
  readonly OpenStderr: boolean;
  readonly OpenStdout: boolean;
  readonly ContainerID: string;
  readonly Pid: number;
}

export interface ExecApi {
  create(containerRef: string, request: ExecCreateRequest): Promise<{ readonly Id: string }>;
  /** Resolves when the process runs; null when detached. `onAccepted` is called when it is about to be started. */
  start(id: string, request: ExecStartRequest, options: ExecStartOptions): Promise<AttachSession | null>;
  inspect(id: string): Promise<ExecInspectResponse>;
  resize(id: string, size: { readonly rows: number; readonly columns: number }): Promise<void>;
}

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

export type VolumeCompression = "none" | "gzip" | "zstd";

/** The volume that a snapshot is of, as its label. */
export const SNAPSHOT_LABEL = "dhow.snapshot-of";

export interface NetworksApi {
  list(filters: Filters): Promise<NetworkSummary[]>;
  inspect(ref: string, options: { readonly verbose: boolean; readonly scope?: string | undefined }): Promise<NetworkInspect>;
  prune(filters: Filters): Promise<{ readonly NetworksDeleted: string[] | null }>;
  create(request: NetworkCreateRequest): Promise<NetworkCreateResponse>;
  remove(ref: string): Promise<void>;
  connect(ref: string, request: NetworkConnectRequest): Promise<void>;
  disconnect(ref: string, request: NetworkDisconnectRequest): Promise<void>;
}

export interface EventsOptions extends CallOptions {
  /** Nanoseconds since the epoch; undefined = from now on. */
  readonly sinceNs?: bigint | undefined;
  /** Ends the stream at this time; in the past: only what was. */
  readonly untilNs?: bigint | undefined;
  readonly filters: Filters;
}

/** GET /system/df, in the form before 1.52. */
export interface DiskUsage {
  readonly LayersSize: number;
  readonly Images: readonly ImageSummary[];
  readonly Containers: readonly ContainerSummary[];
  readonly Volumes: readonly Volume[];
  readonly BuildCache: readonly never[];
  /** What logs take on disk, of containers that have one: not part of Docker's API. */
  readonly Logs?: readonly LogUsage[];
}

/** What one container's log takes on disk. */
export interface LogUsage {
  readonly ContainerID: string;
  readonly Driver: string;
  readonly Size: number;
}

/** Body of POST /auth. */
export interface RegistryCredentials extends AuthConfig {
  readonly identitytoken?: string | undefined;
}

export interface SystemApi {
  version(): Promise<SystemVersion>;
  info(): Promise<SystemInfo>;
  events(options: EventsOptions): AsyncIterable<EventMessage>;
  diskUsage(types: readonly string[], options?: CallOptions): Promise<DiskUsage>;
  /** Looks for damage and for what is left of objects that are gone; repairs it, too. */
  check(options: CheckOptions): Promise<CheckReport>;
  /** Whether a registry lets a user in; the answer may have a token to keep in the place of the password. */
  authenticate(credentials: RegistryCredentials, options: CallOptions): Promise<AuthResponse>;
}

/** The whole engine. */
export interface EngineApi {
  readonly containers: ContainersApi;
  readonly lifecycle: ContainerLifecycleApi;
  readonly checkpoints: CheckpointsApi;
  readonly streams: ContainerStreamsApi;
  readonly files: ContainerFilesApi;
  readonly contents: ContainerContentsApi;
  readonly exec: ExecApi;
  readonly images: ImagesApi;
  readonly transfer: ImageTransferApi;
  readonly volumes: VolumesApi;
  readonly volumeContents: VolumeContentsApi;
  readonly networks: NetworksApi;
  readonly ports: PortsApi;
  readonly conditions: ConditionsApi;
  readonly egress: EgressApi;
  readonly system: SystemApi;
  readonly leases: LeasesApi;
  readonly sockets: SocketsApi;
}
