import { DhowError } from "../lib/mod.ts";
import type { ContainerCreateRequest, ContainerUpdateRequest, HostConfig, Mount } from "../spec/engine/mod.ts";
import { type Endpoints, mainEndpoint, migratePortBindings, migrateSysctls, warnOfVolumeDriver } from "./create-legacy.ts";
import type { Decoded } from "./go-json.ts";
import { type ApiVersion, olderThan } from "./versions.ts";

/** A create request in the newest form, and what there is to say about its conversion. */
export interface CreateRequest {
  readonly request: ContainerCreateRequest;
  readonly warnings: readonly string[];
}

type Body = ContainerCreateRequest & { readonly MacAddress?: string };

/**
 * Turns the body of a client of any version into what the engine takes: what a version didn't know is dropped, its defaults apply.
 * @throws invalid when there is no configuration, or it contradicts itself
 */
export function createRequest(decoded: Decoded, version: ApiVersion): CreateRequest {
  if (!decoded.seen.has("Config")) throw new DhowError("invalid", "config cannot be empty in order to create a container");
  const { MacAddress: mac, ...body } = decoded.value as Body;
  const host = hostConfig(body.HostConfig ?? {}, version);
  const warnings: string[] = [];
  const networkMode = host.NetworkMode ?? DEFAULT_NETWORK;
  const conversion = { networkMode, version, warnings };
  warnOfVolumeDriver(host, conversion);
  const given = renameDefault(body.NetworkingConfig?.EndpointsConfig ?? {}, version);
  const { sysctls, endpoints } = migrateSysctls(
    host.Sysctls ?? {},
    endpointsConfig(given, networkMode, mac ?? "", version, warnings),
    conversion,
  );
  const healthcheck = body.Healthcheck && olderThan(version, 44) ? { ...body.Healthcheck, StartInterval: 0 } : body.Healthcheck;
  const request: ContainerCreateRequest = {
    ...body,
    ...(healthcheck ? { Healthcheck: healthcheck } : {}),
    HostConfig: {
      ...host,
      ...(host.Sysctls && { Sysctls: sysctls }),
      ...(host.PortBindings && { PortBindings: migratePortBindings(host.PortBindings, conversion) }),
    },
    NetworkingConfig: { EndpointsConfig: endpoints },
  };
  return { request, warnings };
}

/** The same of an update: what could not be updated in a version is left as it is. */
export function updateRequest(body: ContainerUpdateRequest, version: ApiVersion): ContainerUpdateRequest {
  const request: { -readonly [K in keyof ContainerUpdateRequest]: ContainerUpdateRequest[K] } = { ...body };
  if (olderThan(version, 40)) delete request.PidsLimit;
  if (olderThan(version, 55)) {
    delete request.BlkioWeightDevice;
    delete request.BlkioDeviceReadBps;
    delete request.BlkioDeviceWriteBps;
    delete request.BlkioDeviceReadIOps;
    delete request.BlkioDeviceWriteIOps;
  }
  return request;
}

/** What `default` stands for on Linux. */
const DEFAULT_NETWORK = "bridge";

function hostConfig(given: HostConfig, version: ApiVersion): HostConfig {
  const host: { -readonly [K in keyof HostConfig]: HostConfig[K] } = { ...given };
  host.NetworkMode = !given.NetworkMode || given.NetworkMode === "default" ? DEFAULT_NETWORK : given.NetworkMode;
  if ((given.PidsLimit ?? 1) <= 0) delete host.PidsLimit;
  if (olderThan(version, 40) && !given.IpcMode) host.IpcMode = "shareable";
  if (olderThan(version, 42)) delete host.ConsoleSize;
  if (olderThan(version, 43)) delete host.Annotations;
  if (given.Mounts) host.Mounts = given.Mounts.map((mount) => mountOf(mount, version));
  return host;
}

const OPTIONS_OF_TYPE = [
  ["VolumeOptions", "volume"],
  ["BindOptions", "bind"],
  ["TmpfsOptions", "tmpfs"],
] as const;

function mountOf(given: Mount, version: ApiVersion): Mount {
  const mount: { -readonly [K in keyof Mount]: Mount[K] } = { ...given };
  if (olderThan(version, 48) && given.Type === "image") throw new DhowError("invalid", 'Mount type "Image" needs API v1.48 or newer');
  if (given.BindOptions) {
    const bind: { -readonly [K in keyof NonNullable<Mount["BindOptions"]>]: NonNullable<Mount["BindOptions"]>[K] } = {
      ...given.BindOptions,
    };
    if (olderThan(version, 40)) delete bind.NonRecursive;
    if (olderThan(version, 42)) delete bind.CreateMountpoint;
    if (olderThan(version, 44)) {
      if (bind.ReadOnlyForceRecursive) throw new DhowError("invalid", "BindOptions.ReadOnlyForceRecursive needs API v1.44 or newer");
    }
    mount.BindOptions = bind;
  }
  if (olderThan(version, 45) && given.VolumeOptions?.Subpath)
    throw new DhowError("invalid", "VolumeOptions.Subpath needs API v1.45 or newer");
  for (const [key, type] of OPTIONS_OF_TYPE) {
    if (given[key] === undefined || given.Type === type) continue;
    if (!olderThan(version, 42))
      throw new DhowError("invalid", `${key} must not be specified on mount type ${JSON.stringify(given.Type ?? "")}`);
    delete mount[key];
  }
  if (olderThan(version, 46) && given.TmpfsOptions) mount.TmpfsOptions = { ...given.TmpfsOptions, Options: null };
  return mount;
}

/** Endpoints with the default network under its name; before 1.48 all had the same priority. */
function renameDefault(given: Endpoints, version: ApiVersion): Endpoints {
  return Object.fromEntries(
    Object.entries(given).map(([name, endpoint]) => {
      const same = olderThan(version, 48) && endpoint.GwPriority ? { ...endpoint, GwPriority: 0 } : endpoint;
      return [name === "default" ? DEFAULT_NETWORK : name, same];
    }),
  );
}

/**
 * The endpoints with the container's MAC address where that stood beside them, before 1.44 and, deprecated, until 1.52.
 * @throws invalid
 */
function endpointsConfig(given: Endpoints, networkMode: string, mac: string, version: ApiVersion, warnings: string[]): Endpoints {
  if (olderThan(version, 44) && Object.keys(given).length > 1) {
    throw new DhowError("invalid", `Container cannot be created with multiple network endpoints: ${Object.keys(given).join(", ")}`);
  }
  if (!olderThan(version, 52)) return given;
  const hasEndpoint = !["host", "none"].includes(networkMode) && !networkMode.startsWith("container:");
  if (olderThan(version, 44)) {
    if (mac === "")
      return Object.fromEntries(Object.entries(given).map(([network, endpoint]) => [network, { ...endpoint, MacAddress: "" }]));
    if (!hasEndpoint) throw new DhowError("invalid", "conflicting options: mac-address and the network mode");
    const network = mainEndpoint(given, networkMode, version, "");
    return { [network]: { ...given[network], MacAddress: mac } };
  }
  if (mac === "") return given;
  warnings.push("The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.");
  return hasEndpoint ? withMac(given, networkMode, mac, version) : given;
}

function withMac(given: Endpoints, networkMode: string, mac: string, version: ApiVersion): Endpoints {
  const network = mainEndpoint(given, networkMode, version, "unable to migrate container-wide MAC address to a specific network");
  const own = given[network]?.MacAddress ?? "";
  if (own !== "" && own.toLowerCase() !== mac.toLowerCase()) {
    throw new DhowError(
      "invalid",
      "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
    );
  }
  return { ...given, [network]: { ...given[network], MacAddress: mac } };
}
