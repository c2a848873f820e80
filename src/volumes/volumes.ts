import { type Defect, DhowError, errorMessage, KeyedMutex, type Logger, randomId } from "../lib/mod.ts";
import type { VolumesTable } from "../metadata/mod.ts";
import type { Plugins } from "../plugins/mod.ts";
import { LOCAL_DRIVER, needsMount, validateLocalOptions, validateVolumeName } from "./local-driver.ts";
import { LocalVolumes } from "./local-volumes.ts";
import { PluginVolumes } from "./plugin-volumes.ts";
import { isSized, parseVolumeSize } from "./sized-volume.ts";
import { ANONYMOUS_LABEL, type LocalVolume, type VolumeRequest } from "./volume.ts";
import { type DefectsDeps, lostDirectories, unfinishedResizes, unknownDirectories, unusedMounts } from "./volume-defects.ts";
import { VolumePlugins } from "./volume-plugin.ts";
import { VolumeRecords } from "./volume-records.ts";
import { VolumeUsers } from "./volume-users.ts";

export interface VolumesDeps {
  readonly table: VolumesTable;
  /** `<dataRoot>/volumes`. */
  readonly root: string;
  readonly log: Logger;
  /** Ids of the containers, running or not, that have the volume among their mounts. */
  readonly references: (name: string) => readonly string[];
  readonly now?: () => Date;
  readonly plugins: Plugins;
  readonly pluginTimeoutMs: number;
}

type NamedRequest = VolumeRequest & { readonly name: string; readonly driver: string };

interface CreatedVolume {
  readonly volume: LocalVolume;
  /** It was not there before. */
  readonly created: boolean;
}

interface RemoveOptions {
  readonly force?: boolean;
  /** Told at the moment at which the volume is no more. */
  readonly onRemoved?: (volume: LocalVolume) => void;
}

/**
 * The volumes of every driver. What is known of them is in rows (`VolumeRecords`); the content of local ones lies in directories
 * (`LocalVolumes`), that of others is their plug-ins' business (`PluginVolumes`).
 *
 * A row without a directory gets a new one when it is used, a directory without a row becomes a volume at the next start, so that
 * a crash between the two loses nothing. That a plug-in has mounted a volume for somebody is noted before it is asked to.
 */
export class Volumes {
  readonly #deps: VolumesDeps;
  readonly #records: VolumeRecords;
  readonly #local: LocalVolumes;
  readonly #plugins: VolumePlugins;
  readonly #ofPlugins: PluginVolumes;
  readonly #users: VolumeUsers;
  /** What puts volumes in order. */
  readonly #order: DefectsDeps;
  /** One at a time waits for the mounting of a volume. */
  readonly #locks = new KeyedMutex();

  constructor(deps: VolumesDeps) {
    this.#deps = deps;
    this.#local = new LocalVolumes(deps.root, deps.log);
    this.#plugins = new VolumePlugins(deps.plugins, deps.pluginTimeoutMs);
    const { table, log, now = () => new Date() } = deps;
    this.#records = new VolumeRecords({ table, local: this.#local, now });
    const parts = { table, log, local: this.#local, plugins: this.#plugins, locks: this.#locks };
    this.#users = new VolumeUsers({ ...parts, find: (name) => this.tryGet(name) });
    this.#ofPlugins = new PluginVolumes({ records: this.#records, plugins: this.#plugins, users: this.#users, log });
    this.#order = {
      ...parts,
      users: this.#users,
      now,
      known: () => this.known(),
      resize: (name, size) => this.resize(name, size),
    };
  }

  /** Finishes removals that a crash cut short and takes in directories that no row knows. Call once, before anything else. */
  recover(): void {
    this.#local.finishRenames((from, to) => this.#deps.table.rename(from, to));
    for (const { what, mend } of this.#local.strayDrafts(() => false)) this.#mendLater(what, mend);
    for (const { mend } of this.#unfinishedRemovals()) void mend();
    for (const { mend } of unknownDirectories(this.#order)) void mend();
    for (const { what, mend } of unfinishedResizes(this.#order)) this.#mendLater(what, mend);
  }

  /** Directories without a row, rows without a directory, removals and mounts that nobody is about. */
  defects(): Defect[] {
    const drafts = this.#local.strayDrafts((name) => this.#locks.isBusy(name));
    return [
      ...drafts,
      ...this.#unfinishedRemovals(),
      ...unknownDirectories(this.#order),
      ...lostDirectories(this.#order),
      ...unusedMounts(this.#order),
      ...unfinishedResizes(this.#order),
    ];
  }

  #unfinishedRemovals(): Defect[] {
    return this.#local.unfinishedRemovals((name) => this.#deps.table.delete(name));
  }

  /** What is known of the volume here, or undefined; no plug-in is asked. */
  tryGet(name: string): LocalVolume | undefined {
    return this.#records.get(name);
  }

  /** The volume, also one that only a plug-in knows. @throws notFound "get x: no such volume", and what its plug-in says */
  async get(name: string): Promise<LocalVolume> {
    const volume = this.tryGet(name);
    if (volume?.driver === LOCAL_DRIVER) return volume;
    const found = volume === undefined ? await this.#ofPlugins.search(name) : await this.#ofPlugins.ask(volume, "get");
    return found ?? fail("notFound", `get ${name}: no such volume`);
  }

  /** Every volume that is known here, by name; no plug-in is asked. */
  known(): LocalVolume[] {
    return this.#records.list();
  }

  /** Every volume of every driver, by name; of drivers that don't answer those that are known here, and a warning. `driver` limits it. */
  async list(
    isWanted: (driver: string) => boolean = () => true,
  ): Promise<{ readonly volumes: LocalVolume[]; readonly warnings: string[] }> {
    const known = this.known().filter(({ driver }) => isWanted(driver));
    const { drivers, warnings } = await this.#ofPlugins.list(isWanted, known);
    const asked = new Set(drivers.map(({ driver }) => driver));
    const volumes = [...known.filter(({ driver }) => !asked.has(driver)), ...drivers.flatMap(({ listed }) => listed)];
    return { volumes: volumes.sort((a, b) => (a.name < b.name ? -1 : 1)), warnings: warnings.sort() };
  }

  /** Ids of the containers that have the volume among their mounts. */
  references(name: string): readonly string[] {
    return this.#deps.references(name);
  }

  /** The volume of that name, made when there is none (`onCreate` is told before); a random name when none is given. @throws invalid, notFound (driver), conflict (driver) */
  async create(request: VolumeRequest, onCreate: (name: string) => void = () => {}): Promise<CreatedVolume> {
    const name = request.name || randomId();
    const labels = request.name ? request.labels : { ...request.labels, [ANONYMOUS_LABEL]: "" };
    const asked = { ...request, name, labels, driver: request.driver ?? "" };
    try {
      return this.#createAtOnce(asked, onCreate) ?? (await this.#locks.run(name, () => this.#createInTurn(asked, onCreate)));
    } catch (error) {
      if (error instanceof DhowError) throw new DhowError(error.kind, `create ${name}: ${error.message}`, { cause: error });
      throw error;
    }
  }

  /** A local volume, where neither a plug-in nor a tool has to be waited for. */
  #createAtOnce(asked: NamedRequest, onCreate: (name: string) => void): CreatedVolume | undefined {
    if (!isLocal(asked.driver)) return undefined;
    const existing = this.tryGet(asked.name);
    if (existing?.driver === LOCAL_DRIVER) return { volume: existing, created: false };
    if (existing || isSized(asked.options ?? null)) return undefined;
    return { volume: this.#createLocal(asked, onCreate), created: true };
  }

  async #createInTurn(asked: NamedRequest, onCreate: (name: string) => void): Promise<CreatedVolume> {
    const { name, driver, options = null } = asked;
    // somebody else may have made it meanwhile
    const existing = this.tryGet(name);
    const found = existing && (await this.#existing(existing, driver));
    if (found) return { volume: found, created: false };
    if (!isLocal(driver)) return this.#ofPlugins.create(asked, onCreate);
    if (!isSized(options)) return { volume: this.#createLocal(asked, onCreate), created: true };
    onCreate(name);
    return { volume: await this.#fill(asked, async () => {}), created: true };
  }

  /** A volume that is there, or that its plug-in no longer has and nobody uses: undefined then. @throws conflict in docker's words */
  async #existing(existing: LocalVolume, driver: string): Promise<LocalVolume | undefined> {
    const { name } = existing;
    if (!isLocal(driver)) await this.#plugins.get(driver);
    const taken = (reason: string): never => fail("conflict", `${reason}: volume name must be unique`);
    let found: LocalVolume | undefined = existing;
    if (existing.driver !== LOCAL_DRIVER) {
      found = await this.#ofPlugins.ask(existing, "create").catch((error: unknown) => {
        const reference = `found reference to volume '${name}' in driver '${existing.driver}'`;
        return taken(`${reference}, but got an error while checking the driver: ${errorMessage(error)}`);
      });
    }
    if (found && driver !== "" && driver !== existing.driver) taken(`driver '${existing.driver}' already has volume '${name}'`);
    if (found) return found;
    if (this.references(name).length > 0) {
      const lost = `found references to volume '${name}' in driver '${existing.driver}' but the volume was not found in the driver`;
      taken(`${lost} -- you may need to remove containers referencing this volume or force remove the volume to re-create it`);
    }
    this.#records.delete(name);
    return undefined;
  }

  #createLocal(request: NamedRequest, onCreate: (name: string) => void): LocalVolume {
    const { name } = request;
    validateVolumeName(name);
    validateLocalOptions(request.options ?? {});
    onCreate(name);
    const volume = this.#records.insert(this.#records.rowOf(request, LOCAL_DRIVER));
    try {
      this.#local.makeDirectory(name);
    } catch (error) {
      this.#records.delete(name);
      fail("internal", `error while creating volume data path '${volume.path}': ${errorMessage(error)}`);
    }
    return volume;
  }

  /**
   * Removes a volume; the content of a local one is out of the way at once and deleted in the background. With `force` a missing one is
   * fine, and so is a plug-in that fails: the volume is no longer known here then. Nothing is waited for where that isn't needed.
   * @throws notFound, conflict "remove x: volume is in use - [ids]", and what its plug-in says
   */
  async remove(name: string, options: RemoveOptions = {}): Promise<void> {
    const { force = false, onRemoved = () => {} } = options;
    const volume = this.tryGet(name) ?? (await this.#ofPlugins.search(name));
    if (!volume) return force ? undefined : fail("notFound", `get ${name}: no such volume`);
    this.#checkUnused(name);
    if (volume.driver !== LOCAL_DRIVER) {
      await this.#locks.run(name, () => this.#ofPlugins.remove(volume, force));
      return onRemoved(volume);
    }
    if (this.#local.isMounted(volume)) {
      await this.#locks.run(name, () => this.#local.unmount(volume));
      this.#checkUnused(name);
    }
    this.#users.forget(name);
    const moved = this.#local.moveAway(name);
    this.#records.delete(name);
    moved?.delete();
    onRemoved(volume);
  }

  #checkUnused(name: string): void {
    const users = this.references(name);
    if (users.length > 0) fail("conflict", `remove ${name}: volume is in use - [${users.join(", ")}]`);
  }

  /**
   * Makes a volume ready for a user, a container mostly, and says where it is: what its options name is mounted, its plug-in is asked to
   * mount it. A promise where that has to be waited for, until `signal` is aborted. @throws internal in docker's words, and the signal's reason
   */
  use(name: string, user: string, signal?: AbortSignal): string | Promise<string> {
    return this.#users.use(name, user, signal);
  }

  /** Notes that a container, found running at start, uses the volume. */
  adopt(name: string, user: string): void {
    this.#users.adopt(name, user);
  }

  /** Ends a use; after the last one what was mounted is unmounted, a plug-in is told of each. What goes wrong is logged. */
  release(name: string, user: string): void | Promise<void> {
    return this.#users.release(name, user);
  }

  /** After every `adopt` at the daemon's start: unmounts what was mounted for containers that are gone. Nobody waits for it. */
  unmountUnused(): void {
    for (const { what, mend } of unusedMounts(this.#order)) this.#mendLater(what, mend);
  }

  #mendLater(what: string, mend: Defect["mend"]): void {
    (async () => mend())().catch((error: unknown) =>
      this.#deps.log.warn("volume could not be put in order", { what, error: errorMessage(error) }),
    );
  }

  /**
   * Makes a local volume that is filled before anybody knows it; when that fails, there is none. @throws conflict when the name is taken,
   * invalid, and what `fill` throws
   */
  make(request: VolumeRequest & { readonly name: string }, fill: (path: string) => Promise<void>): Promise<LocalVolume> {
    return this.#locks.run(request.name, () => this.#fill(request, fill));
  }

  async #fill(request: VolumeRequest & { readonly name: string }, fill: (path: string) => Promise<void>): Promise<LocalVolume> {
    const { name, options = null } = request;
    validateVolumeName(name);
    validateLocalOptions(options ?? {});
    this.#checkFree(name);
    const draft = await this.#local.draft({ name, options });
    const row = this.#records.rowOf(request, LOCAL_DRIVER);
    try {
      await fill(draft.path);
      this.#checkFree(name);
      return await draft.commit(() => this.#records.insert(row));
    } catch (error) {
      await draft.discard();
      throw error;
    }
  }

  #checkFree(name: string): void {
    if (this.tryGet(name)) fail("conflict", `volume ${JSON.stringify(name)} already exists`);
  }

  /** Gives a local volume another name. @throws notFound, conflict when a container has it or the name is taken, invalid */
  rename(name: string, to: string): Promise<LocalVolume> {
    return this.#locks.run(name, async () => {
      const volume = this.#ownLocal(name, "rename");
      validateVolumeName(to);
      if (this.tryGet(to) || this.#locks.isBusy(to)) fail("conflict", `rename ${name}: volume ${JSON.stringify(to)} already exists`);
      const users = this.references(name);
      if (users.length > 0) fail("conflict", `rename ${name}: volume is in use - [${users.join(", ")}]`);
      await this.#local.unmount(volume);
      if (this.references(name).length > 0 || this.tryGet(to)) fail("conflict", `rename ${name}: volume is in use`);
      this.#local.rename(name, to, () => this.#deps.table.rename(name, to));
      return this.tryGet(to) ?? fail("notFound", `get ${to}: no such volume`);
    });
  }

  /** Gives a volume another size. @throws notFound, unsupported for one without, where the file system has no quotas, conflict, internal */
  resize(name: string, size: string): Promise<LocalVolume> {
    return this.#locks.run(name, async () => {
      const volume = this.#ownLocal(name, "resize");
      if (!isSized(volume.options)) this.#checkCanBeLimited(volume);
      const sizeBytes = parseVolumeSize(size);
      if (!this.#local.hasDirectory(name))
        fail(
          "internal",
          `resize ${name}: its directory is gone, with its content; the next use makes it anew, as does dhow system check --repair`,
        );
      this.#local.noteResize(name, size);
      try {
        await this.#local.resize(name, sizeBytes, this.#local.isMounted(volume) ? volume.path : undefined);
      } catch (error) {
        this.#local.forgetResize(name);
        throw new DhowError(error instanceof DhowError ? error.kind : "internal", `resize ${name}: ${errorMessage(error)}`, {
          cause: error,
        });
      }
      this.#deps.table.setOptions(name, JSON.stringify({ ...volume.options, size }));
      this.#local.forgetResize(name);
      return this.tryGet(name) ?? fail("notFound", `get ${name}: no such volume`);
    });
  }

  #checkCanBeLimited({ name, options }: LocalVolume): void {
    if (needsMount(options)) fail("unsupported", `resize ${name}: its content is where its options say`);
    if (this.#local.hasQuotas()) return;
    const reason = "only those made with --opt size= do, where the file system of the data root has no project quotas";
    fail("unsupported", `resize ${name}: the volume has no size: ${reason}`);
  }

  /** What the file of a volume with a size takes on the disk, mounted or not; undefined for others. */
  imageBytes({ name, options }: LocalVolume): number | undefined {
    return isSized(options) ? this.#local.imageBytes(name) : undefined;
  }

  #ownLocal(name: string, verb: string): LocalVolume {
    const volume = this.tryGet(name) ?? fail("notFound", `get ${name}: no such volume`);
    if (volume.driver !== LOCAL_DRIVER) fail("unsupported", `${verb} ${name}: it is a volume of the driver ${volume.driver}`);
    return volume;
  }
}

function isLocal(driver: string): boolean {
  return driver === "" || driver === LOCAL_DRIVER;
}

function fail(kind: DhowError["kind"], message: string): never {
  throw new DhowError(kind, message);
}
