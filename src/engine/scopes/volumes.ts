import { SOCKET_LABEL, type VolumeContentsApi, type VolumesApi } from "../../spec/engine/mod.ts";
import { perRule, sum } from "./containers.ts";
import { type CheckLease, createVolume, volumeTaken } from "./create.ts";
import { volumeProblem } from "./host-config.ts";
import type { Objects } from "./objects.ts";
import type { Quota } from "./quota.ts";

/** Volumes as far as a socket's clients see them. */
export function scopedVolumes(objects: Objects, quota: Quota, checkLease: CheckLease): VolumesApi {
  const { access, engine } = objects;
  const { volumes } = engine;
  return {
    create: async (request) => {
      access.require("volumes", "create");
      const problem = objects.isConfined ? volumeProblem(request) : undefined;
      if (problem !== undefined) throw access.refusal(problem);
      await checkLease(request.Labels);
      const own = access.labelsOfNew("volumes", request.Labels);
      const existing = async () => {
        const present = request.Name ? await objects.anyVolume(request.Name) : undefined;
        if (present === undefined) return undefined;
        if (!access.sees("volumes", present.Labels)) throw volumeTaken(request.Name ?? "");
        return volumes.create(request);
      };
      // one that is there counts already
      return (
        (await existing()) ??
        quota.make(
          { volumes: 1 },
          async () => (await existing()) ?? createVolume(objects, { ...request, Labels: { ...request.Labels, ...own } }),
        )
      );
    },
    list: async (filters) => {
      access.require("volumes", "read");
      const { Volumes, Warnings } = await volumes.list(filters);
      return { Volumes: (Volumes ?? []).filter(({ Labels }) => access.reads("volumes", Labels)), Warnings };
    },
    inspect: (name) => objects.volume(name, "read"),
    remove: async (name, options) => {
      // with force docker says nothing of a volume that is not there
      if (options.force && (await isHidden(objects, name))) return;
      await objects.volume(name, "remove");
      await objects.withoutIds(volumes.remove(name, options));
    },
    prune: async (filters, options) => {
      access.require("volumes", "prune");
      const results = await perRule(access.labelsFor("volumes", "prune"), filters, (own) => volumes.prune(own, options));
      const deleted = results.flatMap(({ VolumesDeleted }) => VolumesDeleted ?? []);
      return { VolumesDeleted: deleted, SpaceReclaimed: sum(results) };
    },
  };
}

/** A copy is a new volume of the socket's; what is changed has to be one that its clients may remove. */
export function scopedVolumeContents(objects: Objects, quota: Quota, checkLease: CheckLease): VolumeContentsApi {
  const { access, engine } = objects;
  const { volumeContents } = engine;
  const ownLabels = async (name: string | undefined, labels: Readonly<Record<string, string>> | null | undefined) => {
    access.require("volumes", "create");
    const problem = objects.isConfined ? volumeProblem({ Labels: labels ?? null }) : undefined;
    if (problem !== undefined) throw access.refusal(problem);
    await checkLease(labels);
    if (name !== undefined && (await objects.anyVolume(name)) !== undefined) throw volumeTaken(name);
    return { ...labels, ...access.labelsOfNew("volumes", labels), [SOCKET_LABEL]: access.socket };
  };
  return {
    clone: async (source, options) => {
      await objects.volume(source, "read");
      // containers that others may see would stand still
      const pause = options.pause && !objects.isConfined;
      const labels = await ownLabels(options.name, options.labels);
      return quota.make({ volumes: 1 }, () => volumeContents.clone(source, { ...options, pause, labels }));
    },
    export: async (name, options) => {
      await objects.volume(name, "read");
      return volumeContents.export(name, options);
    },
    import: async (name, archive, options) => {
      if (objects.isConfined && options.size !== undefined) throw access.refusal("DriverOpts size");
      const labels = await ownLabels(name, options.labels);
      return quota.make({ volumes: 1 }, () => volumeContents.import(name, archive, { ...options, labels }));
    },
    rename: async (name, to) => {
      access.require("volumes", "create");
      await objects.volume(name, "remove");
      if ((await objects.anyVolume(to)) !== undefined) throw volumeTaken(to);
      return objects.withoutIds(volumeContents.rename(name, to));
    },
    resize: async (name, size) => {
      await objects.volume(name, "remove");
      if (objects.isConfined) throw access.refusal("DriverOpts size");
      return volumeContents.resize(name, size);
    },
  };
}

async function isHidden(objects: Objects, name: string): Promise<boolean> {
  objects.access.require("volumes", "remove");
  const volume = await objects.anyVolume(name);
  return volume === undefined || !objects.access.sees("volumes", volume.Labels);
}
