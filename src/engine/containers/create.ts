import { mkdirSync, rmSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Image } from "../../images/mod.ts";
import { DhowError, formatTime, nowNs, parseBytes, parseDigest, randomId } from "../../lib/mod.ts";
import { type PortRequest, parsePortSpecs } from "../../network/mod.ts";
import {
  checkTimeOffsets,
  clampWarnings,
  type HostFacts,
  type IdMappings,
  joinedContainer,
  parseTimeOffsets,
  type TimeOffsets,
  validateHostConfig,
  validateLogOptions,
} from "../../runtime/mod.ts";
import {
  type ContainerConfig,
  type ContainerCreateOptions,
  type ContainerCreateRequest,
  type ContainerCreateResponse,
  type EndpointSettings,
  type HostConfig,
  type ImageConfig,
  type NetworkExtensions,
  parseNetworkExtensions,
  portAllowLabel,
} from "../../spec/engine/mod.ts";
import {
  type ContainerMount,
  type FillVolume,
  IDMAP_LABEL,
  isElsewhere,
  type MountedImage,
  parseIdmapLabel,
  planMounts,
  populateVolumes,
} from "../../volumes/mod.ts";
import { checkDonors, checkHealth, checkRequest } from "./check-request.ts";
import { fillHostConfig, mergeConfig } from "./config.ts";
import { type ContainerLink, INITIAL_STATE, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { checkEgress } from "./egress.ts";
import { emitContainer } from "./emit.ts";
import { requestedEndpoints } from "./endpoints.ts";
import { untilAnswering } from "./hanging.ts";
import { resolveLinks } from "./links.ts";
import { generateName, parseName } from "./names.ts";
import { forgetNoted, noteFilling, noteVolume } from "./new-volumes.ts";
import type { Container } from "./store.ts";
import { requestedUserns } from "./userns-mappings.ts";

/** Gives a container a time namespace: `monotonic=SECONDS,boottime=SECONDS`. */
const TIME_OFFSET_LABEL = "dhow.time-offset";

/** Minor versions of the API with other defaults: that of cgroup namespaces on cgroup v1, and read-only binds with what is mounted below. */
const PRIVATE_CGROUPNS_SINCE = 41;
const READ_ONLY_RECURSIVE_SINCE = 44;

/** POST /containers/create. Nothing stays behind when it fails. @throws invalid, notFound, conflict in docker's words */
export async function createContainer(
  deps: ContainerDeps,
  request: ContainerCreateRequest,
  options: ContainerCreateOptions,
): Promise<ContainerCreateResponse> {
  const { store } = deps;
  deps.warmer.touch();
  const minor = options.version?.[1] ?? Number.POSITIVE_INFINITY;
  const { asked, networkAsGiven } = withNetworkName(deps, withOldDefaults(request.HostConfig ?? {}, minor, deps.facts));
  if (requiredSources(asked).length > 0) deps.followHost();
  await untilAnswering(requiredSources(asked), { timeoutMs: deps.settings.runtimeTimeoutMs, signal: options.signal });
  const id = randomId();
  const name = options.name ? parseName(options.name) : generateName((taken) => store.isNameTaken(taken));
  checkRequest(deps, request, asked);
  const checked = validateHostConfig({ ...asked, UsernsMode: requestedUserns(request) }, deps.facts);
  const timeOffsets = requestedTimeOffsets(request);
  const extensions = requestedExtensions(request);
  const image = resolveImage(deps, request.Image ?? "", options.platform ?? "");
  using _ = deps.images.hold(image);
  deps.images.uses.note(image.id);
  const config = mergeConfig(request, (image.config.config ?? {}) as ImageConfig);
  checkHealth(config.Healthcheck);
  deps.checkLabels(config.Labels);
  const hostConfig = withDonorIds(store, fillHostConfig(checked.hostConfig, deps.settings.host, deps.facts));
  validateLogOptions(hostConfig.LogConfig?.Type ?? "", hostConfig.LogConfig?.Config ?? {});
  const { requests: published } = parsePortSpecs({
    exposedPorts: config.ExposedPorts,
    portBindings: hostConfig.PortBindings,
    publishAll: hostConfig.PublishAllPorts,
  });
  checkEgress(extensions, hostConfig);
  const endpoints = requestedEndpoints(deps, request, hostConfig);
  checkDonors(deps, hostConfig);
  const links = resolveLinks(store, hostConfig);
  store.reserveName(name, id);
  try {
    const userns = deps.userns.choose(id, hostConfig);
    const container = await build(deps, {
      id,
      name,
      image,
      config: withHostname(id, config, hostConfig),
      hostConfig,
      networkAsGiven,
      links,
      endpoints,
      userns,
      timeOffsets,
      extensions,
      isReadOnlyNonRecursive: minor < READ_ONLY_RECURSIVE_SINCE,
      idmaps: parseIdmapLabel(request.Labels?.[IDMAP_LABEL] ?? ""),
      signal: options.signal,
    });
    emitContainer(deps.emit, "create", container);
    const warnings = [...checked.warnings, ...clampWarnings(hostConfig, deps.facts), ...allowWarnings(extensions, published)];
    return { Id: id, Warnings: warnings };
  } finally {
    store.releaseName(name);
    deps.userns.made(id);
  }
}

/**
 * A network that every daemon has goes by its name from here on: that is what the mode is compared with, and one that is called by a part of
 * its id must not become another's when that gets such a name.
 */
function withNetworkName({ network }: ContainerDeps, host: HostConfig): { readonly asked: HostConfig; readonly networkAsGiven?: string } {
  const { NetworkMode: given = "" } = host;
  const found = network.network(given);
  if (!found?.isPredefined || found.name === given) return { asked: host };
  return { asked: { ...host, NetworkMode: found.name }, networkAsGiven: given };
}

function withOldDefaults(asked: HostConfig, minor: number, { cgroup }: HostFacts): HostConfig {
  return minor < PRIVATE_CGROUPNS_SINCE && cgroup.version === 1 && !asked.CgroupnsMode ? { ...asked, CgroupnsMode: "host" } : asked;
}

/** The paths of the host that have to be there. */
function requiredSources({ Mounts }: HostConfig): string[] {
  return (Mounts ?? []).flatMap(({ Type, Source, BindOptions }) =>
    Type === "bind" && Source?.startsWith("/") && !BindOptions?.CreateMountpoint ? [Source] : [],
  );
}

/**
 * How much a container may write to its root file system, by project quotas as in docker's overlay2; undefined: without limit.
 * @throws internal in docker's words
 * @see daemon/graphdriver/overlay2/overlay.go of moby
 */
function storageLimit({ snapshots }: ContainerDeps, options: Readonly<Record<string, string>>): number | undefined {
  const fail = (text: string): never => {
    throw new DhowError("internal", text);
  };
  let limitBytes: number | undefined;
  for (const [key, text] of Object.entries(options)) {
    if (key.toLowerCase() !== "size") fail(`unknown option ${key.toLowerCase()}`);
    if (!snapshots.hasQuotas()) fail("--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
    limitBytes = parseBytes(text) ?? fail(`invalid size: '${text}'`);
  }
  return limitBytes || undefined;
}

/** The label is the only way that every client of the API has. An image's labels are no requests. @throws invalid, unsupported */
function requestedTimeOffsets(request: ContainerCreateRequest): TimeOffsets | undefined {
  const text = request.Labels?.[TIME_OFFSET_LABEL];
  if (text === undefined) return undefined;
  const offsets = parseTimeOffsets(text);
  checkTimeOffsets(offsets);
  return offsets;
}

/** As with all labels that ask for something, an image's don't. @throws invalid */
function requestedExtensions({ Labels }: ContainerCreateRequest): NetworkExtensions | undefined {
  const extensions = parseNetworkExtensions(Labels);
  return Object.values(extensions).some((asked) => !Array.isArray(asked) || asked.length > 0) ? extensions : undefined;
}

/** A list of sources for a port that is not published may be a slip. */
function allowWarnings(extensions: NetworkExtensions | undefined, published: readonly PortRequest[]): string[] {
  const ports = new Set(published.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`));
  const idle = extensions?.portAllows.filter(({ port }) => !ports.has(port)) ?? [];
  return idle.map(({ port }) => `Label ${portAllowLabel(port)} has no effect: the container does not publish that port`);
}

/** Whose namespaces a container shares is told by their ids from here on: they may get other names. One that is not there keeps its name. */
function withDonorIds(store: ContainerDeps["store"], hostConfig: HostConfig): HostConfig {
  const byId = (mode: string | undefined): string => {
    const donor = joinedContainer(mode ?? "");
    if (donor === undefined) return mode ?? "";
    try {
      return `container:${store.find(donor).id}`;
    } catch {
      return mode ?? "";
    }
  };
  const { NetworkMode, IpcMode, PidMode } = hostConfig;
  return { ...hostConfig, NetworkMode: byId(NetworkMode), IpcMode: byId(IpcMode), PidMode: byId(PidMode) };
}

function resolveImage(deps: ContainerDeps, ref: string, platform: string): Image {
  if (ref === "") throw new DhowError("invalid", "no image specified");
  const image = deps.images.resolve(ref);
  const [os, arch] = platform === "" ? [] : platform.split("/");
  if ((os && os !== image.config.os) || (arch && arch !== image.config.architecture)) {
    throw new DhowError("notFound", `image with reference ${ref} was found but does not provide the specified platform (${platform})`);
  }
  return image;
}

/** Docker gives a container its short id as host name, where it has one of its own. */
function withHostname(id: string, config: ContainerConfig, hostConfig: HostConfig): ContainerConfig {
  if (config.Hostname) return config;
  const mode = networkMode(hostConfig);
  if (mode === "host" || hostConfig.UTSMode === "host") return { ...config, Hostname: hostname() };
  return mode.startsWith("container:") ? config : { ...config, Hostname: id.slice(0, 12) };
}

interface Parts {
  readonly id: string;
  readonly name: string;
  readonly image: Image;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  readonly networkAsGiven: string | undefined;
  readonly links: readonly ContainerLink[];
  readonly endpoints: Readonly<Record<string, EndpointSettings>>;
  readonly userns: IdMappings | undefined;
  readonly timeOffsets: TimeOffsets | undefined;
  readonly extensions: NetworkExtensions | undefined;
  readonly idmaps: ReadonlyMap<string, string>;
  readonly isReadOnlyNonRecursive: boolean;
  readonly signal: AbortSignal | undefined;
}

async function build(deps: ContainerDeps, parts: Parts): Promise<Container> {
  const { snapshots, store } = deps;
  const { id, name, image, config, hostConfig } = parts;
  await using undo = new AsyncDisposableStack();
  const limitBytes = storageLimit(deps, hostConfig.StorageOpt ?? {});
  const prepared = snapshots.prepare(id, image.topLayer, { isEphemeral: hostConfig.AutoRemove ?? false, limitBytes });
  undo.defer(() => snapshots.remove(id));
  if (prepared) await prepared;
  const dir = join(deps.settings.dataRoot, "containers", id);
  mkdirSync(dir, { recursive: true, mode: 0o710 });
  undo.defer(() => rmSync(dir, { recursive: true, force: true }));
  const plan = await planMounts({
    hostConfig,
    declared: Object.keys(config.Volumes ?? {}),
    volumes: deps.volumes,
    mountsOf: (ref) => store.find(ref).spec.mounts,
    onCreate: (volume) => noteVolume(dir, volume),
    openImage: (reference, number) => openImage(deps, { reference, key: `${id}.image${number}` }, undo),
    idmaps: parts.idmaps,
    isReadOnlyNonRecursive: parts.isReadOnlyNonRecursive,
  });
  undo.defer(plan.undo);
  for (const { name: volume, driver } of plan.created) deps.emit({ type: "volume", action: "create", id: volume, attributes: { driver } });
  const filled = plan.mounts.filter((m) => m.kind === "volume" && m.copiesUp);
  const isNew = (name: string): boolean => plan.created.some((volume) => volume.name === name);
  for (const mount of filled) if (!isNew(mount.volume)) noteFilling(dir, mount);
  if (filled.length > 0) await populate(deps, id, filled, parts.signal);
  const [path = "", ...args] = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  const container: Container = {
    id,
    name,
    spec: {
      created: formatTime(nowNs()),
      image: config.Image ?? "",
      imageId: parseDigest(image.id),
      platform: "linux",
      config,
      // inspect shows what the links are called by then
      hostConfig: parts.links.length > 0 ? { ...hostConfig, Links: null } : hostConfig,
      ...(parts.networkAsGiven === undefined ? {} : { networkAsGiven: parts.networkAsGiven }),
      ...(parts.links.length > 0 ? { links: parts.links } : {}),
      endpoints: parts.endpoints,
      path,
      args,
      mounts: plan.mounts,
      topLayer: image.topLayer,
      driver: snapshots.driver,
      ...(parts.userns === undefined ? {} : { userns: parts.userns }),
      ...(parts.timeOffsets === undefined ? {} : { timeOffsets: parts.timeOffsets }),
      ...(parts.extensions === undefined ? {} : { extensions: parts.extensions }),
    },
    state: INITIAL_STATE,
  };
  // before the row: an option that its log driver refuses must not leave a container behind
  deps.live.of(container);
  undo.defer(() => deps.live.forget(id));
  store.add(container);
  undo.move();
  if (plan.created.length > 0 || filled.length > 0) forgetNoted(dir);
  return container;
}

/** An image's files for a mount. Its layers are held until the container's row says that it needs them. */
async function openImage(
  deps: ContainerDeps,
  { reference, key }: { readonly reference: string; readonly key: string },
  undo: AsyncDisposableStack,
): Promise<MountedImage> {
  const { topLayer } = deps.images.resolve(reference);
  const prepared = deps.snapshots.prepare(key, topLayer);
  undo.defer(() => deps.snapshots.remove(key));
  if (prepared) await prepared;
  return { reference, key, topLayer, path: deps.snapshots.paths(key).rootfs };
}

async function populate(
  deps: ContainerDeps,
  id: string,
  mounts: readonly ContainerMount[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const rootfs = deps.snapshots.mount(id);
  try {
    await populateVolumes(rootfs, mounts, { volumes: deps.volumes, fill: (...asked) => fillVolume(deps, asked), signal });
  } finally {
    deps.snapshots.unmount(id);
  }
}

/** A file system that nobody answers for is given up when nothing has been copied for as long as a runtime may take. */
async function fillVolume(deps: ContainerDeps, [asked, volume]: Parameters<FillVolume>): Promise<void> {
  const { runtimeTimeoutMs: timeoutMs } = deps.settings;
  const stalled = new AbortController();
  const words = `the file system of volume ${volume} did not answer within ${Math.round(timeoutMs / 1000)} s (--runtime-timeout)`;
  const timer = setTimeout(() => stalled.abort(new DhowError("unavailable", words)), timeoutMs);
  const onBytes = (): void => void timer.refresh();
  const options = { signal: stalled.signal, onBytes, isElsewhere: isElsewhere(deps.volumes.tryGet(volume)) };
  try {
    await deps.volumeFiles.copyUp(asked, options);
  } finally {
    clearTimeout(timer);
  }
}
