import { type ChainId, ZERO_TIME } from "../../lib/mod.ts";
import type { IdMappings, TimeOffsets } from "../../runtime/mod.ts";
import type { ContainerConfig, EndpointSettings, HostConfig, NetworkExtensions, PortMap } from "../../spec/engine/mod.ts";
import type { ContainerMount } from "../../volumes/mod.ts";
import type { EgressRecord } from "./egress.ts";
import type { HealthState } from "./health.ts";

export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

/** A container that this one has linked to by `--link`. */
export interface ContainerLink {
  readonly id: string;
  readonly alias: string;
}

/** What a container was created as; changes only by rename, update and network connect. */
export interface ContainerSpec {
  /** RFC3339Nano. */
  readonly created: string;
  /** As the user wrote it. */
  readonly image: string;
  readonly imageId: string;
  readonly platform: string;
  /** The request merged with the image's config. */
  readonly config: ContainerConfig;
  /** With docker's defaults filled in. */
  readonly hostConfig: HostConfig;
  /** How the request called the network that `hostConfig.NetworkMode` calls `bridge`, `host` or `none`, where that was by its id. */
  readonly networkAsGiven?: string;
  /** What an update that is under way changes of it. */
  readonly update?: HostConfig | undefined;
  /** What its labels ask of its network beyond docker; without, nothing. */
  readonly extensions?: NetworkExtensions;
  /** In place of `hostConfig.Links`. */
  readonly links?: readonly ContainerLink[];
  readonly endpoints: Readonly<Record<string, EndpointSettings>>;
  readonly path: string;
  readonly args: readonly string[];
  readonly mounts: readonly ContainerMount[];
  /** The image's top layer, which its writable layer stands on. */
  readonly topLayer: ChainId | null;
  /** The snapshotter that holds its writable layer. */
  readonly driver: string;
  /** Of its user namespace; without, it is in the host's. */
  readonly userns?: IdMappings;
  /** Of its time namespace; without, it is in the host's. */
  readonly timeOffsets?: TimeOffsets;
}

/** A container's place on the network while it runs. */
export interface NetworkState {
  readonly sandboxId: string;
  readonly sandboxKey: string;
  readonly ports: PortMap;
  readonly networks: Readonly<Record<string, EndpointSettings>>;
}

/** A signal that a client asked for. */
export interface SentSignal {
  readonly signal: number;
  /** The request: `stop`, `kill`, `restart`, or the policy for unhealthy containers. */
  readonly by: "stop" | "kill" | "restart" | "unhealthy";
  /** RFC3339Nano. */
  readonly at: string;
}

/** A container's memory, in bytes, at the moment when the kernel killed in it for want of more. */
export interface MemoryAtOom {
  readonly usageBytes: number;
  readonly limitBytes: number;
  readonly peakBytes: number;
}

/** What changes while a container lives; written to the metadata at every change. */
export interface ContainerState {
  readonly status: ContainerStatus;
  readonly pid: number;
  readonly exitCode: number;
  readonly error: string;
  readonly oomKilled: boolean;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly restartCount: number;
  /** A removal that has begun takes the anonymous volumes along. */
  readonly isRemovingVolumes: boolean;
  /** The user stopped it: restart policies leave it alone. */
  readonly hasBeenManuallyStopped: boolean;
  readonly network: NetworkState | null;
  /** The last signal that was asked for before the process ended. */
  readonly lastSignal?: SentSignal | undefined;
  readonly memoryAtOom?: MemoryAtOom | undefined;
  /** What its last run did under its egress policy. */
  readonly egress?: EgressRecord | undefined;
  /** Of a container with a health check, from its first start on. */
  readonly health?: HealthState | undefined;
  /** It is being ended, or has been, to be started again because it was unhealthy. */
  readonly isUnhealthyRestart?: boolean | undefined;
  /** It is paused by a commit and not by its user: when that is over, or its daemon is gone, it goes on. */
  readonly isPausedForCommit?: boolean;
}

export const INITIAL_STATE: ContainerState = {
  status: "created",
  pid: 0,
  exitCode: 0,
  error: "",
  oomKilled: false,
  startedAt: ZERO_TIME,
  finishedAt: ZERO_TIME,
  restartCount: 0,
  isRemovingVolumes: false,
  hasBeenManuallyStopped: false,
  network: null,
};

/** Whether its process exists. */
export function isRunning(state: ContainerState): boolean {
  return state.status === "running" || state.status === "paused";
}

/** What docker calls running: also what waits for its restart policy to start it again. */
export function isUp(state: ContainerState): boolean {
  return isRunning(state) || state.status === "restarting";
}

/** The network that a container is on by its HostConfig: `bridge`, `host`, `none`, `container:X`, or a name or id of a user's. */
export function networkMode(hostConfig: HostConfig): string {
  const mode = hostConfig.NetworkMode ?? "";
  return mode === "" || mode === "default" ? "bridge" : mode;
}

/** The same as clients are shown it: the way it was asked for. */
export function shownNetworkMode({ hostConfig, networkAsGiven }: Pick<ContainerSpec, "hostConfig" | "networkAsGiven">): string {
  return networkAsGiven ?? networkMode(hostConfig);
}
