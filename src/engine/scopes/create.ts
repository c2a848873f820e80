import { DhowError, errorMessage, isKind } from "../../lib/mod.ts";
import {
  type ContainerCreateOptions,
  type ContainerCreateRequest,
  type ContainerCreateResponse,
  type EndpointSettings,
  type HostConfig,
  type ImageInspect,
  type Mount,
  SERVES_LABEL,
  SOCKET_LABEL,
  type Volume,
  type VolumeCreateRequest,
} from "../../spec/engine/mod.ts";
import { parseBind, parseVolumesFrom } from "../../volumes/mod.ts";
import { configProblem, driverOptionsProblem, endpointProblem, hostConfigProblem } from "./host-config.ts";
import type { Objects } from "./objects.ts";
import type { Quota } from "./quota.ts";
import type { Labels } from "./rules.ts";

/** Labels of images that do something by themselves. */
const POWERFUL = [SERVES_LABEL, "dhow.time-offset", "dhow.userns"];
/** Networks that need no look-up. */
const OWN_NETWORKS: ReadonlySet<string> = new Set(["", "default", "bridge", "none"]);

/** Makes sure that labels name no lease but one of the socket's. @throws invalid */
export type CheckLease = (labels: Labels) => Promise<void>;

interface Deps {
  readonly objects: Objects;
  readonly quota: Quota;
  readonly checkLease: CheckLease;
}

/** POST /containers/create through a scoped socket. @throws forbidden, and what docker answers for objects that are not there */
export async function createScoped(
  deps: Deps,
  request: ContainerCreateRequest,
  options: ContainerCreateOptions,
): Promise<ContainerCreateResponse> {
  const { objects, quota } = deps;
  const { access, engine } = objects;
  access.require("containers", "create");
  if (objects.isConfined) requireConfined(objects, request);
  await deps.checkLease(request.Labels);
  const image = await objects.image(request.Image ?? "", "read");
  if (objects.isConfined) requireHarmless(objects, image);
  const Labels = { ...request.Labels, ...access.labelsOfNew("containers", request.Labels), [SOCKET_LABEL]: access.socket };
  const host = request.HostConfig ?? {};
  const HostConfig: HostConfig = {
    ...host,
    ...(host.NetworkMode ? { NetworkMode: await ownNetwork(objects, host.NetworkMode) } : {}),
    ...(await sharedWith(objects, host)),
    ...(quota.cgroupParent === undefined ? {} : { CgroupParent: quota.cgroupParent }),
  };
  const NetworkingConfig = { EndpointsConfig: await ownEndpoints(objects, request.NetworkingConfig?.EndpointsConfig ?? {}) };
  const volumes = await namedVolumes(objects, host);
  const anonymous = countAnonymous(request, image);
  return quota.make({ containers: 1, volumes: volumes.absent.length + anonymous }, async () => {
    await using undo = new AsyncDisposableStack();
    for (const name of volumes.absent) {
      await createVolume(objects, { Name: name, Labels: access.labelsOfNew("volumes", null) });
      undo.defer(() => engine.volumes.remove(name, { force: true }).catch(() => {}));
    }
    const created = await objects.withoutIds(engine.containers.create({ ...request, Labels, HostConfig, NetworkingConfig }, options));
    undo.move();
    return created;
  });
}

/** @throws forbidden for what leads to the host */
function requireConfined({ access }: Objects, { HostConfig, NetworkingConfig, ...config }: ContainerCreateRequest): void {
  const endpoints = Object.entries(NetworkingConfig?.EndpointsConfig ?? {});
  const problem =
    configProblem(config) ??
    hostConfigProblem(HostConfig ?? {}) ??
    endpoints.map(([network, endpoint]) => endpointProblem(network, endpoint ?? {})).find((found) => found !== undefined);
  if (problem !== undefined) throw access.refusal(problem);
}

/** @throws forbidden for an image that makes the engine do something for its containers */
function requireHarmless({ access }: Objects, { Config }: ImageInspect): void {
  const label = POWERFUL.find((key) => Config?.Labels?.[key] !== undefined);
  if (label !== undefined) throw access.refusal(`an image with the label ${label}`);
}

/** What a request names has to be there; docker calls the request bad when it is not, and clients take a 404 for a missing image. */
async function named<T>(look: Promise<T>): Promise<T> {
  try {
    return await look;
  } catch (error) {
    if (!isKind(error, "notFound")) throw error;
    throw new DhowError("invalid", errorMessage(error), { cause: error });
  }
}

/** The containers that a request names, by their ids: a name may be another's by the time the container starts. */
async function sharedWith(objects: Objects, host: HostConfig): Promise<HostConfig> {
  const find = (ref: string, verb: "exec" | "files"): Promise<string> => named(objects.inside(ref, verb));
  const mode = async (text: string | undefined): Promise<string> =>
    `container:${await find((text ?? "").slice("container:".length), "exec")}`;
  const joins = (text: string | undefined): boolean => text?.startsWith("container:") ?? false;
  const donors: string[] = [];
  for (const text of host.VolumesFrom ?? []) {
    const { container } = parseVolumesFrom(text);
    donors.push(`${await find(container, "files")}${text.slice(container.length)}`);
  }
  const links = await linkIds(objects, host.Links);
  return {
    ...(donors.length > 0 ? { VolumesFrom: donors } : {}),
    ...(links.length > 0 ? { Links: links } : {}),
    ...(joins(host.NetworkMode) ? { NetworkMode: await mode(host.NetworkMode) } : {}),
    ...(joins(host.IpcMode) ? { IpcMode: await mode(host.IpcMode) } : {}),
    ...(joins(host.PidMode) ? { PidMode: await mode(host.PidMode) } : {}),
  };
}

/** Endpoints with what they name by its id, where the name may be another's by the time the container starts. */
async function ownEndpoints(
  objects: Objects,
  endpoints: Readonly<Record<string, EndpointSettings | null | undefined>>,
): Promise<Record<string, EndpointSettings>> {
  const own: Record<string, EndpointSettings> = {};
  for (const [network, endpoint] of Object.entries(endpoints)) {
    own[await ownNetwork(objects, network)] = await withLinkIds(objects, endpoint ?? {});
  }
  return own;
}

async function linkIds(objects: Objects, links: readonly string[] | null | undefined): Promise<readonly string[]> {
  const found: string[] = [];
  for (const text of links ?? []) {
    const [name = "", alias = name.replace(/^\//, "")] = text.split(":");
    found.push(`${await named(objects.container(name, "read"))}:${alias}`);
  }
  return found;
}

/** An endpoint's settings with the containers that it links to, by their ids. @throws invalid for one that is not visible */
export async function withLinkIds(objects: Objects, endpoint: EndpointSettings): Promise<EndpointSettings> {
  return endpoint.Links?.length ? { ...endpoint, Links: await linkIds(objects, endpoint.Links) } : endpoint;
}

/**
 * A network that may be joined. By its id where it is called by what may be a part of one: its name, once it is gone, would be that of
 * whichever network's id begins so. @throws invalid, forbidden
 */
async function ownNetwork(objects: Objects, name: string): Promise<string> {
  if (OWN_NETWORKS.has(name) || name.startsWith("container:") || (name === "host" && !objects.isConfined)) return name;
  const { Driver, Id = "" } = await named(objects.network(name, "read"));
  if (Driver === "host" && objects.isConfined) throw objects.access.refusal(`the network ${name}`);
  return /^[0-9a-f]+$/.test(name) ? Id : name;
}

function volumeMounts(host: HostConfig): Mount[] {
  const bound = (host.Binds ?? []).map((text) => parseBind(text)).map(({ kind, source }): Mount => ({ Type: kind, Source: source }));
  return [...bound, ...(host.Mounts ?? [])].filter(({ Type }) => Type === "volume");
}

/** The volumes that a request names; `absent` are to be made. @throws forbidden, conflict when one is not visible */
async function namedVolumes(objects: Objects, host: HostConfig): Promise<{ readonly absent: readonly string[] }> {
  const { access } = objects;
  const absent = new Set<string>();
  for (const { Source = "" } of volumeMounts(host)) {
    if (Source === "") continue;
    access.require("volumes", "read");
    const volume = await objects.anyVolume(Source);
    if (volume === undefined) {
      access.require("volumes", "create");
      absent.add(Source);
      continue;
    }
    if (!access.sees("volumes", volume.Labels)) throw volumeTaken(Source);
    access.requireOn("volumes", "read", volume.Labels);
    const problem = objects.isConfined ? driverOptionsProblem(volume.Options) : undefined;
    if (problem !== undefined) throw access.refusal(`the volume ${Source}, which has ${problem}`);
  }
  return { absent: [...absent] };
}

/** Makes a volume that was not there when that was looked at; by now somebody else may have made it. @throws conflict */
export async function createVolume({ engine, access }: Objects, request: VolumeCreateRequest): Promise<Volume> {
  const volume = await engine.volumes.create({ ...request, Labels: { ...request.Labels, [SOCKET_LABEL]: access.socket } });
  if (volume.Labels?.[SOCKET_LABEL] !== access.socket) throw volumeTaken(request.Name ?? "");
  return volume;
}

/** Somebody else's, who is not to be known of. */
export function volumeTaken(name: string): DhowError {
  return new DhowError("conflict", `Conflict. The volume name ${JSON.stringify(name)} is already in use`);
}

/** How many volumes without a name a container gets at most. */
function countAnonymous({ Volumes, HostConfig }: ContainerCreateRequest, { Config }: ImageInspect): number {
  const declared = new Set([...Object.keys(Volumes ?? {}), ...Object.keys(Config?.Volumes ?? {})]);
  return declared.size + volumeMounts(HostConfig ?? {}).filter(({ Source = "" }) => Source === "").length;
}
