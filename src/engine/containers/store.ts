import { type Defect, DhowError, type Logger } from "../../lib/mod.ts";
import type { ContainersTable } from "../../metadata/mod.ts";
import { type ContainerSpec, type ContainerState, isRunning } from "./container.ts";

const RETRY_MS = 1000;

/** A container in memory; `spec` and `state` are replaced, never changed in place. */
export interface Container {
  readonly id: string;
  name: string;
  spec: ContainerSpec;
  state: ContainerState;
}

/** The containers of this engine: in memory, every change written through to the metadata. */
export class ContainerStore {
  readonly #table: ContainersTable;
  readonly #log: Logger | undefined;
  /** What the disk does not know yet. */
  readonly #unwritten = new Set<Container>();
  #retry: ReturnType<typeof setTimeout> | undefined;
  readonly #byId = new Map<string, Container>();
  readonly #idByName = new Map<string, string>();
  /** Those with links: few, and asked for at every start and row of a list. */
  readonly #linking = new Set<Container>();
  /** Names given to containers that are still being made. */
  readonly #reserved = new Map<string, string>();

  constructor(table: ContainersTable, log?: Logger) {
    this.#table = table;
    this.#log = log;
    for (const row of table.all()) {
      const container: Container = {
        id: row.id,
        name: row.name,
        spec: JSON.parse(row.spec) as ContainerSpec,
        state: JSON.parse(row.state) as ContainerState,
      };
      this.#byId.set(row.id, container);
      if (container.spec.links) this.#linking.add(container);
      this.#idByName.set(row.name, row.id);
    }
  }

  /** Takes a name for a container in the making. @throws conflict in docker's words */
  reserveName(name: string, id: string): void {
    const owner = this.#idByName.get(name) ?? this.#reserved.get(name);
    if (owner !== undefined && owner !== id) {
      throw new DhowError(
        "conflict",
        `Conflict. The container name ${JSON.stringify(`/${name}`)} is already in use by container "${owner}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
    }
    this.#reserved.set(name, id);
  }

  releaseName(name: string): void {
    this.#reserved.delete(name);
  }

  /** Whether the container of this id is still being made. */
  isBeingMade(id: string): boolean {
    if (this.#byId.has(id)) return false;
    for (const other of this.#reserved.values()) if (other === id) return true;
    return false;
  }

  /** Containers that the database has lost, and rows of it that are of none. */
  defects(): Defect[] {
    const rows = new Set(this.#table.all().map((row) => row.id));
    const lost = this.list().filter(({ id }) => !rows.has(id));
    const stray = [...rows].filter((id) => !this.#byId.has(id));
    return [
      ...lost.map((container) => ({
        what: `container ${container.id} is not in the database`,
        owner: container.id,
        mend: () => this.#insert(container),
      })),
      ...stray.map((id) => ({
        what: `the database has a container ${id} that is not there`,
        owner: id,
        mend: () => this.#table.delete(id),
      })),
    ];
  }

  isNameTaken(name: string): boolean {
    return this.#idByName.has(name) || this.#reserved.has(name);
  }

  #insert(container: Container): void {
    this.#table.insert({
      id: container.id,
      name: container.name,
      imageId: container.spec.imageId,
      spec: JSON.stringify(container.spec),
      state: JSON.stringify(container.state),
    });
  }

  add(container: Container): void {
    this.#insert(container);
    this.#byId.set(container.id, container);
    if (container.spec.links) this.#linking.add(container);
    this.#idByName.set(container.name, container.id);
    this.#reserved.delete(container.name);
  }

  /** Replaces parts of a container's state, in memory and on disk; on disk later when that is full. What happened has happened. */
  update(container: Container, change: Partial<ContainerState>): void {
    container.state = { ...container.state, ...change };
    try {
      this.#table.setState(container.id, JSON.stringify(container.state));
      this.#unwritten.delete(container);
    } catch (error) {
      this.#log?.error("container's state could not be written, will be tried again", { container: container.id, error });
      this.#unwritten.add(container);
      this.#retry ??= setTimeout(() => this.#writeAgain(), RETRY_MS);
      this.#retry.unref();
    }
  }

  #writeAgain(): void {
    this.#retry = undefined;
    for (const container of [...this.#unwritten]) this.update(container, {});
  }

  updateSpec(container: Container, change: Partial<ContainerSpec>): void {
    const spec = { ...container.spec, ...change };
    this.#table.setSpec(container.id, JSON.stringify(spec));
    container.spec = spec;
  }

  /** @throws conflict when the name is taken */
  rename(container: Container, name: string): void {
    this.reserveName(name, container.id);
    try {
      this.#table.rename(container.id, name);
      this.#idByName.delete(container.name);
      container.name = name;
      this.#idByName.set(name, container.id);
    } finally {
      this.#reserved.delete(name);
    }
  }

  delete(container: Container): void {
    this.#table.delete(container.id);
    this.#unwritten.delete(container);
    this.#linking.delete(container);
    this.#byId.delete(container.id);
    this.#idByName.delete(container.name);
  }

  /** Oldest first. */
  list(): Container[] {
    return [...this.#byId.values()];
  }

  get(id: string): Container | undefined {
    return this.#byId.get(id);
  }

  /** Finds by full id, name, unique prefix of an id, or name of a link, in this order. @throws notFound, invalid, internal when ambiguous */
  find(ref: string): Container {
    const exact = this.#byId.get(ref) ?? this.#byId.get(this.#idByName.get(ref.replace(/^\//, "")) ?? "");
    if (exact) return exact;
    if (ref === "") throw new DhowError("invalid", "bad parameter: container name or ID is empty");
    let found: Container | undefined;
    if (/^[0-9a-f]+$/.test(ref)) {
      for (const [id, container] of this.#byId) {
        if (!id.startsWith(ref)) continue;
        if (found) throw new DhowError("internal", `multiple IDs found with provided prefix: ${ref}`);
        found = container;
      }
    }
    found ??= this.findLink(ref)?.target;
    if (!found) throw new DhowError("notFound", `No such container: ${ref}`);
    return found;
  }

  /** The same; undefined where `find` would throw. */
  tryFind(ref: string): Container | undefined {
    try {
      return this.find(ref);
    } catch {
      return undefined;
    }
  }

  /** The containers that have linked to one, with the alias they know it by. */
  linksTo(id: string): { readonly container: Container; readonly alias: string }[] {
    const found: { readonly container: Container; readonly alias: string }[] = [];
    for (const container of this.#linking) {
      for (const link of container.spec.links ?? []) if (link.id === id) found.push({ container, alias: link.alias });
    }
    return found;
  }

  /** The link called `/owner/alias`. */
  findLink(ref: string): { readonly owner: Container; readonly alias: string; readonly target: Container } | undefined {
    const [ownerName = "", alias = "", more] = ref.replace(/^\//, "").split("/");
    const owner = alias === "" || more !== undefined ? undefined : this.#byId.get(this.#idByName.get(ownerName) ?? "");
    const target = this.#byId.get(owner?.spec.links?.find((link) => link.alias === alias)?.id ?? "");
    return owner && target ? { owner, alias, target } : undefined;
  }

  /** Ids of the containers, running or not, that have the volume among their mounts; without those that are being removed. */
  usersOfVolume(name: string): string[] {
    return this.list()
      .filter((c) => c.state.status !== "removing" && c.spec.mounts.some((m) => m.volume === name))
      .map((c) => c.id);
  }

  /** Containers made from an image. */
  usersOf(imageId: string): { readonly id: string; readonly name: string; readonly running: boolean }[] {
    return this.list()
      .filter((c) => c.spec.imageId === imageId)
      .map((c) => ({ id: c.id, name: c.name, running: isRunning(c.state) }));
  }
}
