import { type ChainId, DhowError } from "../lib/mod.ts";
import type { HostConfig, MountPoint } from "../spec/engine/mod.ts";
import { IDMAP_LABEL } from "./idmap.ts";
import { cleanPath, type MountSpec, parseBind, parseMount, parseVolumesFrom } from "./mount-spec.ts";
import type { Volumes } from "./volumes.ts";

/** A mount of a container, as the container keeps it from its creation on: plain data. */
export interface ContainerMount extends Omit<MountSpec, "driverOptions" | "labels"> {
  /** The volume's name; empty for the other kinds. */
  readonly volume: string;
  /** Whether the volume was made for this container without a name: `rm -v` and `--rm` take it away. */
  readonly isAnonymous: boolean;
  /** Whether the image's content at the destination goes into the volume while that is empty. */
  readonly copiesUp: boolean;
  /** Of an image's files: what was asked for, and the snapshot that shows them. */
  readonly image?: MountedImage;
}

/** An image whose files are mounted in a container that was made from another one. */
export interface MountedImage {
  readonly reference: string;
  /** A snapshot of the container's own on top of the image's layers; nothing is written to it. */
  readonly key: string;
  readonly topLayer: ChainId | null;
  /** Where the snapshot is mounted. */
  readonly path: string;
}

export interface PlanInput {
  readonly hostConfig: HostConfig;
  /** Destinations that the image or `-v /path` declare as volumes (keys of Config.Volumes). */
  readonly declared: readonly string[];
  readonly volumes: Volumes;
  /** The mounts of another container, for `--volumes-from`. @throws when there is no such container */
  readonly mountsOf: (container: string) => readonly ContainerMount[];
  /** Makes the snapshot of an image's files for the mount of that number. @throws notFound when there is no such image */
  readonly openImage?: ((reference: string, number: number) => MountedImage | Promise<MountedImage>) | undefined;
  /** The `idmap` of mounts by their destinations, for those that are asked for by a label. */
  readonly idmaps?: ReadonlyMap<string, string> | undefined;
  /** Read-only binds leave what is mounted below them writable unless they say otherwise, as before API 1.44. */
  readonly isReadOnlyNonRecursive?: boolean | undefined;
  /** Told the name of each volume right before it is made. */
  readonly onCreate?: ((volume: string) => void) | undefined;
}

/** A volume that a container's creation made. */
export interface NewVolume {
  readonly name: string;
  readonly driver: string;
}

export interface MountPlan {
  readonly mounts: readonly ContainerMount[];
  /** Volumes that did not exist before, for events. */
  readonly created: readonly NewVolume[];
  /** Takes the new volumes away again, when the container's creation fails after all. */
  readonly undo: () => Promise<void>;
}

async function volumeMount(spec: MountSpec, { volumes, onCreate }: PlanInput, created: NewVolume[]): Promise<ContainerMount> {
  const { driverOptions, labels, ...rest } = spec;
  const made = await volumes.create(
    { name: spec.source, driver: spec.driver, options: driverOptions ?? null, labels: labels ?? null },
    onCreate,
  );
  if (made.created) created.push({ name: made.volume.name, driver: made.volume.driver });
  return {
    ...rest,
    volume: made.volume.name,
    driver: made.volume.driver,
    source: made.volume.path,
    // Docker shows the SELinux mode it would relabel with.
    mode: spec.mode === "" ? "z" : spec.mode,
    isAnonymous: spec.source === "",
    copiesUp: !spec.noCopy,
  };
}

function plainMount(spec: MountSpec): ContainerMount {
  const { driverOptions: _options, labels: _labels, ...rest } = spec;
  return { ...rest, volume: "", isAnonymous: false, copiesUp: false };
}

async function imageMount(spec: MountSpec, { openImage }: PlanInput, number: number): Promise<ContainerMount> {
  const image = await openImage?.(spec.source, number);
  if (image === undefined) throw new DhowError("unsupported", "mounts of images are not to be had here");
  return { ...plainMount(spec), source: image.path, image };
}

async function contentOf(spec: MountSpec, input: PlanInput, created: NewVolume[], number: number): Promise<ContainerMount> {
  if (spec.kind === "volume") return volumeMount(spec, input, created);
  return spec.kind === "image" ? imageMount(spec, input, number) : plainMount(spec);
}

function withIdmap(mount: ContainerMount, idmaps: PlanInput["idmaps"]): ContainerMount {
  const idmap = idmaps?.get(mount.destination);
  return idmap === undefined ? mount : { ...mount, idmap };
}

function shallow(mount: ContainerMount, { isReadOnlyNonRecursive = false }: PlanInput): ContainerMount {
  return isReadOnlyNonRecursive && mount.kind === "bind" && mount.isReadOnly ? { ...mount, isReadOnlyNonRecursive } : mount;
}

async function declaredMount(destination: string, input: PlanInput, created: NewVolume[]): Promise<ContainerMount> {
  const spec = parseBind(destination);
  return { ...(await volumeMount({ ...spec, driver: input.hostConfig.VolumeDriver ?? "" }, input, created)), mode: "" };
}

/**
 * Decides what is mounted where when a container is created, and makes its volumes: those of other containers first, then binds and
 * mounts over them (two of these at one place are refused), then a new volume at each declared place that is still free.
 * @throws invalid in docker's words, and what `mountsOf` throws; no volume is left behind then
 */
export async function planMounts(input: PlanInput): Promise<MountPlan> {
  const { hostConfig, volumes } = input;
  const created: NewVolume[] = [];
  const undo = async (): Promise<void> => {
    for (const { name } of created.splice(0)) await volumes.remove(name, { force: true });
  };
  try {
    return { mounts: await plan(input, created), created: [...created], undo };
  } catch (error) {
    await undo();
    throw error;
  }

  async function plan(from: PlanInput, news: NewVolume[]): Promise<ContainerMount[]> {
    const points = new Map<string, ContainerMount>();
    for (const text of hostConfig.VolumesFrom ?? []) {
      const { container, isReadOnly } = parseVolumesFrom(text);
      for (const m of from.mountsOf(container)) {
        // its snapshot is the other container's own
        if (m.kind === "image") continue;
        points.set(m.destination, { ...m, isReadOnly: m.isReadOnly || isReadOnly, copiesUp: false, mode: "" });
      }
    }
    const taken = new Set<string>();
    let images = 0;
    const tmpfs = new Set(Object.keys(hostConfig.Tmpfs ?? {}).map(cleanPath));
    const place = async (spec: MountSpec, refused: boolean): Promise<void> => {
      if (refused || taken.has(spec.destination)) throw new DhowError("invalid", `Duplicate mount point: ${spec.destination}`);
      taken.add(spec.destination);
      points.set(spec.destination, await contentOf(spec, from, news, images++));
    };
    for (const text of hostConfig.Binds ?? []) {
      const spec = parseBind(text, hostConfig.VolumeDriver ?? "");
      await place(spec, tmpfs.has(spec.destination));
    }
    for (const mount of hostConfig.Mounts ?? []) await place(parseMount(mount), false);
    for (const declared of from.declared) {
      const destination = cleanPath(declared);
      if (points.has(destination) || tmpfs.has(destination)) continue;
      points.set(destination, await declaredMount(destination, from, news));
    }
    for (const destination of from.idmaps?.keys() ?? []) {
      if (points.get(destination)?.kind !== "bind")
        throw new DhowError("invalid", `invalid label ${IDMAP_LABEL}: no bind mount at ${destination}`);
    }
    return [...points.values()].map((m) => withIdmap(shallow(m, from), from.idmaps));
  }
}

/** The mounts in inspect's form. */
export function inspectMounts(mounts: readonly ContainerMount[]): MountPoint[] {
  return mounts.map((m) => ({
    Type: m.kind,
    ...(m.volume === "" ? {} : { Name: m.volume }),
    ...(m.image === undefined ? {} : { Name: m.image.reference }),
    Source: m.source,
    Destination: m.destination,
    ...(m.driver === "" ? {} : { Driver: m.driver }),
    Mode: m.mode,
    RW: !m.isReadOnly,
    Propagation: m.propagation,
  }));
}
