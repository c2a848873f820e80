import { DhowError } from "../../lib/mod.ts";
import type {
  CheckpointsApi,
  ContainerContentsApi,
  ContainerFilesApi,
  ContainerLifecycleApi,
  ContainerStreamsApi,
  ContainersApi,
  ExecApi,
  Filters,
} from "../../spec/engine/mod.ts";
import { type CheckLease, createScoped } from "./create.ts";
import { configProblem, hostConfigProblem } from "./host-config.ts";
import { labelInstruction } from "./images.ts";
import type { Objects } from "./objects.ts";
import { anonymousVolumes, type Quota } from "./quota.ts";

/** Containers as far as a socket's clients see them. A method that is new must say here what it takes, or be refused. */
export function scopedContainers(objects: Objects, quota: Quota, checkLease: CheckLease): ContainersApi {
  const { engine, access } = objects;
  const { containers } = engine;
  return {
    create: (request, options) => createScoped({ objects, quota, checkLease }, request, options),
    list: async ({ all, limit, filters, ...options }) => {
      access.require("containers", "read");
      const found = await containers.list({ ...options, all: all || limit > 0, limit: 0, filters: await ownFilters(objects, filters) });
      const visible = await objects.containers();
      const shown = found.filter(({ Labels }) => access.reads("containers", Labels));
      const most = limit > 0 ? limit : shown.length;
      return shown.slice(0, most).map((one) => ({ ...one, Names: objects.ownNames(one.Names, visible) }));
    },
    inspect: async (ref, options) => containers.inspect(await objects.container(ref, "read"), options),
    explain: async (ref) => containers.explain(await objects.container(ref, "read")),
    rename: async (ref, name) => objects.withoutIds(containers.rename(await objects.container(ref, "control"), name)),
    update: async (ref, request) => {
      const id = await objects.container(ref, "control");
      const problem = objects.isConfined ? hostConfigProblem(request) : undefined;
      if (problem !== undefined) throw access.refusal(problem);
      return containers.update(id, request);
    },
    remove: async (ref, options) => {
      const id = await objects.container(ref, "remove");
      // where nobody who comes by this socket could find its anonymous volumes again, they go with it
      const volumes = options.volumes || !access.isEverything("volumes", "remove");
      if (!options.link) return containers.remove(id, { ...options, volumes });
      await objects.container(ref.replace(/^\//, "").split("/")[0] ?? "", "remove");
      return containers.remove(ref, options);
    },
    prune: async (filters) => {
      access.require("containers", "prune");
      const volumes = new Map<string, readonly string[]>();
      const areFound = access.isEverything("volumes", "remove");
      for (const { Id = "", State } of areFound ? [] : await objects.containers()) {
        if (State === "exited" || State === "created" || State === "dead") volumes.set(Id, await anonymousVolumes(engine, Id));
      }
      const results = await perRule(access.labelsFor("containers", "prune"), filters, (own) => containers.prune(own));
      const deleted = results.flatMap(({ ContainersDeleted }) => ContainersDeleted ?? []);
      for (const name of deleted.flatMap((id) => volumes.get(id) ?? []))
        await engine.volumes.remove(name, { force: false }).catch(() => {});
      return { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: sum(results) };
    },
  };
}

/** Runs a prune for each label that may be pruned. */
export async function perRule<T>(
  labels: readonly (string | undefined)[],
  filters: Filters,
  prune: (filters: Filters) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  for (const label of labels) {
    results.push(await prune(label === undefined ? filters : { ...filters, label: [...(filters["label"] ?? []), label] }));
  }
  return results;
}

export function sum(results: readonly { readonly SpaceReclaimed: number }[]): number {
  return results.reduce((total, { SpaceReclaimed }) => total + SpaceReclaimed, 0);
}

/** Filters that name a container, an image or a network: what is not visible is not there. @throws notFound */
async function ownFilters(objects: Objects, filters: Filters): Promise<Filters> {
  const own: Record<string, readonly string[]> = { ...filters };
  for (const key of ["before", "since"]) {
    const refs = filters[key];
    if (refs) own[key] = await Promise.all(refs.map((ref) => objects.container(ref, "read")));
  }
  const isVisible = async (ref: string): Promise<boolean> => (await objects.image(ref, "read").catch(() => undefined)) !== undefined;
  const ancestors = filters["ancestor"];
  // an id that no image has
  if (ancestors)
    own["ancestor"] = await Promise.all(ancestors.map(async (ref) => ((await isVisible(ref)) ? ref : `sha256:${"0".repeat(64)}`)));
  return own;
}

/** What a container's process is told. */
export function scopedLifecycle(objects: Objects): ContainerLifecycleApi {
  const { lifecycle } = objects.engine;
  const control = (ref: string): Promise<string> => objects.container(ref, "control");
  return {
    start: async (ref, options) => {
      const id = await control(ref);
      requireOwnPlace(objects, options.checkpointDir);
      return objects.withoutIds(lifecycle.start(id, options));
    },
    stop: async (ref, options) => lifecycle.stop(await control(ref), options),
    restart: async (ref, options) => objects.withoutIds(lifecycle.restart(await control(ref), options)),
    kill: async (ref, signal) => lifecycle.kill(await control(ref), signal),
    pause: async (ref) => lifecycle.pause(await control(ref)),
    unpause: async (ref) => lifecycle.unpause(await control(ref)),
    wait: async (ref, condition, options) => lifecycle.wait(await objects.container(ref, "read"), condition, options),
  };
}

/** Checkpoints of containers' processes, where the engine keeps them. */
export function scopedCheckpoints(objects: Objects): CheckpointsApi {
  const { checkpoints } = objects.engine;
  const within = async (ref: string, verb: "control" | "read", dir: string | undefined): Promise<string> => {
    const id = await objects.container(ref, verb);
    requireOwnPlace(objects, dir);
    return id;
  };
  return {
    create: async (ref, request) => objects.withoutIds(checkpoints.create(await within(ref, "control", request.CheckpointDir), request)),
    list: async (ref, options) => checkpoints.list(await within(ref, "read", options.dir), options),
    remove: async (ref, id, options) => checkpoints.remove(await within(ref, "control", options.dir), id, options),
  };
}

/** A directory of the host is written to as root, and what is restored from one may be any process. @throws forbidden */
function requireOwnPlace(objects: Objects, dir: string | undefined): void {
  if (objects.isConfined && dir) throw objects.access.refusal("a checkpoint directory");
}

/** What goes in and out of a container's process. Who types into it is inside. */
export function scopedStreams(objects: Objects): ContainerStreamsApi {
  const { streams } = objects.engine;
  const read = (ref: string): Promise<string> => objects.container(ref, "read");
  return {
    attach: async (ref, options) =>
      streams.attach(options.stdin ? await objects.inside(ref, "control") : await objects.container(ref, "control"), options),
    logs: async (ref, options) => streams.logs(await read(ref), options),
    clearLogs: async (ref) => streams.clearLogs(await objects.container(ref, "control")),
    resize: async (ref, size) => streams.resize(await objects.container(ref, "control"), size),
    top: async (ref, psArgs) => streams.top(await read(ref), psArgs),
    stats: async (ref, options) => streams.stats(await read(ref), options),
  };
}

/** The files of a container. */
export function scopedFiles(objects: Objects): ContainerFilesApi {
  const { files } = objects.engine;
  const inside = (ref: string): Promise<string> => objects.inside(ref, "files");
  return {
    stat: async (ref, path, options) => files.stat(await inside(ref), path, options),
    getArchive: async (ref, path, options) => files.getArchive(await inside(ref), path, options),
    putArchive: async (ref, path, archive, options) => files.putArchive(await inside(ref), path, archive, options),
  };
}

/** What is in a container's file system. */
export function scopedContents(objects: Objects): ContainerContentsApi {
  const { contents } = objects.engine;
  return {
    changes: async (ref, options) => contents.changes(await objects.container(ref, "read"), options),
    export: async (ref, options) => contents.export(await objects.inside(ref, "files"), options),
    commit: async (ref, options) => {
      const id = await objects.inside(ref, "files");
      const problem = objects.isConfined ? configProblem(options.config ?? {}) : undefined;
      if (problem !== undefined) throw objects.access.refusal(problem);
      const changes = [...options.changes, ...labelInstruction(objects, options.changes)];
      await objects.requireFreeImageName(options.repo, options.tag);
      return contents.commit(id, { ...options, changes });
    },
  };
}

/** Processes in running containers. */
export function scopedExec(objects: Objects): ExecApi {
  const { exec } = objects.engine;
  /** @throws notFound in docker's words also for one of a container that is not visible */
  const own = async (id: string): Promise<string> => {
    objects.access.require("containers", "exec");
    const { ContainerID } = await exec.inspect(id);
    const visible = await objects.containers();
    if (!visible.some(({ Id }) => Id === ContainerID)) throw new DhowError("notFound", `No such exec instance: ${id}`);
    await objects.inside(ContainerID, "exec");
    return id;
  };
  return {
    create: async (ref, request) => {
      const id = await objects.inside(ref, "exec");
      const { AttachStdin, AttachStdout, AttachStderr, ConsoleSize, DetachKeys, Tty, Env, Cmd, User, WorkingDir, ...rest } = request;
      const more = Object.entries(rest).find(([, value]) => value !== undefined && value !== false);
      if (objects.isConfined && more) throw objects.access.refusal(`exec with ${more[0]}`);
      return exec.create(id, request);
    },
    start: async (id, request, options) => exec.start(await own(id), request, options),
    inspect: async (id) => exec.inspect(await own(id)),
    resize: async (id, size) => exec.resize(await own(id), size),
  };
}
