/**
 * What a file of the Container Device Interface holds: one kind of device, `vendor/class`, its devices by name, and what a container
 * runtime has to change of a container's OCI configuration for each.
 *
 * ```
 * cdiVersion: 1.0.0
 * kind: vendor.com/device
 * containerEdits: …            for every container that gets one of the devices
 * devices:
 * - name: first                vendor.com/device=first
 *   containerEdits: …          for a container that gets this one
 * ```
 * @see https://github.com/cncf-tags/container-device-interface/blob/v1.1.0/SPEC.md
 */
export interface CdiDocument {
  readonly version: string;
  readonly kind: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly devices: readonly CdiDevice[];
  readonly edits: ContainerEdits;
}

export interface CdiDevice {
  readonly name: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly edits: ContainerEdits;
}

/** Changes of an OCI configuration. */
export interface ContainerEdits {
  /** `NAME=value`. */
  readonly env: readonly string[];
  readonly deviceNodes: readonly CdiDeviceNode[];
  readonly netDevices: readonly CdiNetDevice[];
  readonly hooks: readonly CdiHook[];
  readonly mounts: readonly CdiMount[];
  readonly intelRdt: CdiIntelRdt | undefined;
  readonly additionalGids: readonly number[];
}

export interface CdiDeviceNode {
  /** In the container. */
  readonly path: string;
  /** Empty: the same as in the container. */
  readonly hostPath: string;
  /** b, c, u or p; empty: the host's. */
  readonly type: string;
  /** 0: the host's. */
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number | undefined;
  /** Some of r, w, m; empty: all. */
  readonly permissions: string;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
}

/** An interface of the host that becomes the container's, by another name. */
export interface CdiNetDevice {
  readonly hostInterfaceName: string;
  readonly name: string;
}

export interface CdiHook {
  /** When it runs, as `hooks` of the OCI configuration names it. */
  readonly hookName: string;
  readonly path: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly timeout: number | undefined;
}

export interface CdiMount {
  readonly hostPath: string;
  readonly containerPath: string;
  readonly options: readonly string[];
  readonly type: string;
}

export interface CdiIntelRdt {
  readonly closID: string;
  readonly l3CacheSchema: string;
  readonly memBwSchema: string;
  readonly schemata: readonly string[];
  readonly enableMonitoring: boolean;
}

export const NO_EDITS: ContainerEdits = {
  env: [],
  deviceNodes: [],
  netDevices: [],
  hooks: [],
  mounts: [],
  intelRdt: undefined,
  additionalGids: [],
};

/** All of them, in order: of two intelRdt the later one. */
export function mergeEdits(all: readonly ContainerEdits[]): ContainerEdits {
  return {
    env: all.flatMap((edits) => edits.env),
    deviceNodes: all.flatMap((edits) => edits.deviceNodes),
    netDevices: all.flatMap((edits) => edits.netDevices),
    hooks: all.flatMap((edits) => edits.hooks),
    mounts: all.flatMap((edits) => edits.mounts),
    intelRdt: all.findLast((edits) => edits.intelRdt !== undefined)?.intelRdt,
    additionalGids: all.flatMap((edits) => edits.additionalGids),
  };
}

export function isEmptyEdits(edits: ContainerEdits): boolean {
  return Object.values(edits).every((value) => value === undefined || (Array.isArray(value) && value.length === 0));
}
