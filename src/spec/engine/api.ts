/**
 * The engine as its front doors see it: server, SDK, compose and CLI know these interfaces and nothing else of it.
 * Two implementations: the engine in this process (`engine/`) and the client over HTTP (`sdk/`).
 * A `ref` is whatever Docker accepts there: name, full id or a unique prefix of an id.
 * Every method throws DhowError with Docker's words: notFound, conflict, invalid, notModified, forbidden, unavailable, unsupported, internal.
 */
import type { CheckpointsApi, ContainerLifecycleApi, ContainersApi } from "./api/containers.ts";
import type { ContainerContentsApi, ContainerFilesApi } from "./api/contents.ts";
import type { ExecApi } from "./api/exec.ts";
import type { ImagesApi, ImageTransferApi } from "./api/images.ts";
import type { NetworksApi } from "./api/networks.ts";
import type { ContainerStreamsApi } from "./api/streams.ts";
import type { SystemApi } from "./api/system.ts";
import type { VolumeContentsApi, VolumesApi } from "./api/volumes.ts";
import type { ConditionsApi } from "./conditions.ts";
import type { EgressApi } from "./egress.ts";
import type { LeasesApi } from "./leases.ts";
import type { PortsApi } from "./ports.ts";
import type { SocketsApi } from "./sockets.ts";

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
