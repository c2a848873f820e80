import { join } from "node:path";
import { DhowError, errorMessage } from "../../lib/mod.ts";
import { cgroupOf } from "../../runtime/mod.ts";
import type {
  AttachOptions,
  AttachSession,
  CallOptions,
  CheckpointRequest,
  CheckpointSummary,
  CheckpointsApi,
  ContainerCreateOptions,
  ContainerCreateRequest,
  ContainerCreateResponse,
  ContainerInspectResponse,
  ContainerLifecycleApi,
  ContainerListOptions,
  ContainerStatsResponse,
  ContainerStreamsApi,
  ContainerSummary,
  ContainersApi,
  ContainerTopResponse,
  ContainerUpdateRequest,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  Explanation,
  Filters,
  LogSession,
  LogsOptions,
  StartOptions,
  WaitCondition,
} from "../../spec/engine/mod.ts";
import { cgroupPath } from "./cgroup-path.ts";
import { checkCheckpointId, checkpointDir, createCheckpoint, listCheckpoints, removeCheckpoint } from "./checkpoint.ts";
import { renameEndpoints } from "./connect.ts";
import { isRunning } from "./container.ts";
import { createContainer } from "./create.ts";
import type { ContainerDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import { type InspectDeps, inspectContainer } from "./inspect.ts";
import { forgetLinkedHosts } from "./links.ts";
import { type ListDeps, listContainers } from "./list.ts";
import { parseName } from "./names.ts";
import { pruneContainers } from "./prune.ts";
import { removeContainer } from "./remove.ts";
import { startContainer } from "./start.ts";
import { containerStats } from "./stats.ts";
import { killContainer, pauseContainer, restartContainer, type StopOptions, stopContainer, unpauseContainer } from "./stop.ts";
import type { Container } from "./store.ts";
import { top } from "./top.ts";
import { updateContainer } from "./update.ts";
import { explainContainer } from "./why/why.ts";

/** Containers as objects. */
export class Containers implements ContainersApi {
  readonly #deps: ContainerDeps;
  readonly #list: ListDeps;
  readonly #inspect: Omit<InspectDeps, "nameOf">;

  constructor(deps: ContainerDeps, list: ListDeps, inspect: Omit<InspectDeps, "nameOf">) {
    this.#deps = deps;
    this.#list = list;
    this.#inspect = inspect;
  }

  create(request: ContainerCreateRequest, options: ContainerCreateOptions): Promise<ContainerCreateResponse> {
    return createContainer(this.#deps, request, options);
  }

  list(options: ContainerListOptions): Promise<ContainerSummary[]> {
    return listContainers(this.#list, options);
  }

  async inspect(ref: string, options: { readonly size: boolean }): Promise<ContainerInspectResponse> {
    const container = this.#deps.store.find(ref);
    return inspectContainer(
      { ...this.#inspect, nameOf: (id) => this.#deps.store.get(id)?.name },
      container,
      options.size ? await this.#list.sizes(container) : undefined,
    );
  }

  explain(ref: string): Promise<Explanation> {
    return explainContainer(this.#deps, this.#deps.store.find(ref));
  }

  rename(ref: string, newName: string): Promise<void> {
    const { store, locks, emit } = this.#deps;
    const container = store.find(ref);
    return locks.run(container.id, () => {
      if (newName === "") throw new DhowError("invalid", "Neither old nor new names may be empty");
      const oldName = container.name;
      const asked = newName.startsWith("/") ? newName : `/${newName}`;
      if (asked === `/${oldName}`) throw new DhowError("invalid", "Renaming a container with the same name as its current name");
      try {
        store.rename(container, parseName(asked));
      } catch (error) {
        if (!(error instanceof DhowError)) throw error;
        throw new DhowError(error.kind, `Error when allocating new name: ${error.message}`, { cause: error });
      }
      renameEndpoints(this.#deps, container);
      emitContainer(emit, "rename", container, { oldName: `/${oldName}` });
    });
  }

  update(ref: string, request: ContainerUpdateRequest): Promise<ContainerUpdateResponse> {
    return updateContainer(this.#deps, ref, request);
  }

  remove(ref: string, options: { readonly force: boolean; readonly volumes: boolean; readonly link: boolean }): Promise<void> {
    const { store, locks } = this.#deps;
    const container = store.find(ref);
    if (options.link) return this.#removeLink(ref);
    if (container.state.status === "removing") {
      throw new DhowError("conflict", `removal of container ${container.id} is already in progress`);
    }
    // A stop that waits for its timeout must not hold a forced removal up; a start has to come to its end before it.
    if (options.force && isRunning(container.state)) return removeContainer(this.#deps, container, options);
    if (options.force)
      this.#deps.live
        .peek(container.id)
        ?.starting?.abort(new DhowError("conflict", `container ${container.id} was removed while it started`));
    return locks.run(container.id, () => removeContainer(this.#deps, container, options));
  }

  async #removeLink(ref: string): Promise<void> {
    const { store } = this.#deps;
    const found = store.findLink(ref);
    if (!found) throw new DhowError("conflict", "Conflict, cannot remove the default link name of the container");
    const { owner, alias } = found;
    const links = owner.spec.links ?? [];
    store.updateSpec(owner, { links: links.filter((link) => link.alias !== alias) });
    const hostsFile = join(this.#deps.settings.dataRoot, "containers", owner.id, "hosts");
    for (const link of links) if (link.alias === alias) forgetLinkedHosts(this.#deps, owner, link, hostsFile);
  }

  prune(filters: Filters): Promise<{ readonly ContainersDeleted: string[] | null; readonly SpaceReclaimed: number }> {
    return pruneContainers(this.#deps, this.#list, filters);
  }
}

/** What a container's process can be told. */
export class ContainerLifecycle implements ContainerLifecycleApi {
  readonly #deps: ContainerDeps;

  constructor(deps: ContainerDeps) {
    this.#deps = deps;
  }

  #locked(ref: string, work: (container: Container) => Promise<void>): Promise<void> {
    const container = this.#deps.store.find(ref);
    return this.#deps.locks.run(container.id, () => {
      if (this.#deps.store.get(container.id) !== container) throw new DhowError("notFound", `No such container: ${ref}`);
      return work(container);
    });
  }

  start(ref: string, { checkpoint: id = "", checkpointDir: dir, signal }: StartOptions = {}): Promise<void> {
    if (id !== "") checkCheckpointId(id);
    return this.#locked(ref, (c) => {
      const checkpoint = id === "" ? undefined : checkpointDir(this.#deps, c, ref, { id, dir });
      return startContainer(this.#deps, c, { checkpoint, signal });
    });
  }

  stop(ref: string, options: StopOptions): Promise<void> {
    return this.#locked(ref, (c) => stopContainer(this.#deps, c, options));
  }

  restart(ref: string, options: StopOptions): Promise<void> {
    return this.#locked(ref, async (c) => {
      try {
        await restartContainer(this.#deps, c, options);
      } catch (cause) {
        throw new DhowError("internal", `Cannot restart container ${ref}: ${errorMessage(cause)}`, { cause });
      }
    });
  }

  /** Not behind a stop that waits: a kill is how one cuts that wait short. */
  async kill(ref: string, signal: string): Promise<void> {
    await killContainer(this.#deps, ref, signal);
  }

  pause(ref: string): Promise<void> {
    return this.#locked(ref, (c) => pauseContainer(this.#deps, c));
  }

  unpause(ref: string): Promise<void> {
    return this.#locked(ref, (c) => unpauseContainer(this.#deps, c));
  }

  async wait(ref: string, condition: WaitCondition, options: CallOptions): Promise<{ readonly exit: Promise<ContainerWaitResponse> }> {
    return { exit: this.#deps.waiters.wait(this.#deps.store.find(ref), condition, options.signal) };
  }
}

/** Checkpoints of containers' processes. */
export class Checkpoints implements CheckpointsApi {
  readonly #deps: ContainerDeps;

  constructor(deps: ContainerDeps) {
    this.#deps = deps;
  }

  create(ref: string, request: CheckpointRequest): Promise<void> {
    checkCheckpointId(request.CheckpointID ?? "");
    const container = this.#deps.store.find(ref);
    return this.#deps.locks.run(container.id, () => createCheckpoint(this.#deps, container, ref, request));
  }

  async list(ref: string, options: { readonly dir?: string | undefined }): Promise<CheckpointSummary[]> {
    return listCheckpoints(this.#deps, this.#deps.store.find(ref), ref, options.dir);
  }

  async remove(ref: string, id: string, options: { readonly dir?: string | undefined }): Promise<void> {
    checkCheckpointId(id);
    const container = this.#deps.store.find(ref);
    await this.#deps.locks.run(container.id, () => removeCheckpoint(this.#deps, container, ref, { id, dir: options.dir }));
  }
}

/** What goes in and out of a container's process. */
export class ContainerStreams implements ContainerStreamsApi {
  readonly #deps: ContainerDeps;

  constructor(deps: ContainerDeps) {
    this.#deps = deps;
  }

  async attach(ref: string, options: AttachOptions): Promise<AttachSession> {
    const container = this.#deps.store.find(ref);
    const { status } = container.state;
    if (status === "paused") {
      throw new DhowError("conflict", `container ${ref} is paused, unpause the container before attach`);
    }
    if (status === "restarting") {
      throw new DhowError("conflict", `container ${ref} is restarting, wait until the container is running`);
    }
    const session = this.#deps.live.of(container).io.attach(options);
    emitContainer(this.#deps.emit, "attach", container);
    return session;
  }

  async logs(ref: string, options: LogsOptions): Promise<LogSession> {
    const container = this.#deps.store.find(ref);
    if (!options.stdout && !options.stderr) throw new DhowError("invalid", "Bad parameters: you must choose at least one stream");
    return this.#deps.live.of(container).io.logs(options);
  }

  async clearLogs(ref: string): Promise<void> {
    this.#deps.live.of(this.#deps.store.find(ref)).io.options.driver.clear();
  }

  async resize(ref: string, size: { readonly rows: number; readonly columns: number }): Promise<void> {
    const container = this.#deps.store.find(ref);
    if (!isRunning(container.state)) throw new DhowError("conflict", `container ${container.id} is not running`);
    this.#deps.live.of(container).io.resize(size.rows, size.columns);
    emitContainer(this.#deps.emit, "resize", container, { height: String(size.rows), width: String(size.columns) });
  }

  async top(ref: string, psArgs: string): Promise<ContainerTopResponse> {
    const container = this.#deps.store.find(ref);
    if (container.state.status === "restarting") {
      throw new DhowError("conflict", `container ${container.id} is restarting, wait until the container is running`);
    }
    if (!isRunning(container.state)) throw new DhowError("conflict", `container ${container.id} is not running`);
    const table = await top(cgroupOf(cgroupPath(this.#deps, container), this.#deps.facts).pids(), psArgs);
    emitContainer(this.#deps.emit, "top", container);
    return table;
  }

  async stats(
    ref: string,
    options: { readonly stream: boolean; readonly oneShot: boolean } & CallOptions,
  ): Promise<AsyncIterable<ContainerStatsResponse>> {
    return containerStats(this.#deps, this.#deps.store.find(ref), options);
  }
}
