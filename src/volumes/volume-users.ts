import { DhowError, errorMessage, type KeyedMutex, type Logger } from "../lib/mod.ts";
import type { VolumesTable } from "../metadata/mod.ts";
import { isMountedAside, LOCAL_DRIVER, needsMount } from "./local-driver.ts";
import type { LocalVolumes } from "./local-volumes.ts";
import type { LocalVolume } from "./volume.ts";
import { isAnswer, type VolumePlugin, type VolumePlugins } from "./volume-plugin.ts";

export interface VolumeUsersDeps {
  readonly table: VolumesTable;
  readonly local: LocalVolumes;
  readonly plugins: VolumePlugins;
  /** One at a time waits for the mounting of a volume. */
  readonly locks: KeyedMutex;
  readonly log: Logger;
  readonly find: (name: string) => LocalVolume | undefined;
}

/** Who uses the volumes that have to be mounted for it: mounted for the first, unmounted after the last. */
export class VolumeUsers {
  readonly #deps: VolumeUsersDeps;
  readonly #users = new Map<string, { path: string; readonly ids: Set<string> }>();

  constructor(deps: VolumeUsersDeps) {
    this.#deps = deps;
  }

  /** Whether anybody uses the volume, or that user does. */
  isUsed(name: string, user?: string): boolean {
    return user === undefined ? this.#users.has(name) : (this.#users.get(name)?.ids.has(user) ?? false);
  }

  of(name: string): readonly string[] {
    return [...(this.#users.get(name)?.ids ?? [])];
  }

  /** The volume is no more. */
  forget(name: string): void {
    this.#users.delete(name);
  }

  /**
   * Makes a volume ready for a user, a container mostly, and says where it is: what its options name is mounted, its plug-in is asked to
   * mount it. A promise where that has to be waited for, until `signal` is aborted. @throws internal in docker's words, and the signal's reason
   */
  use(name: string, user: string, signal?: AbortSignal): string | Promise<string> {
    const volume = this.#deps.find(name) ?? fail("notFound", `get ${name}: no such volume`);
    if (volume.driver !== LOCAL_DRIVER) return this.#deps.locks.run(name, () => this.#useByPlugin(volume, user));
    if (isMountedAside(volume.options) || this.#deps.locks.isBusy(name))
      return this.#deps.locks.run(name, () => this.#useLocal(volume, user, signal));
    return this.#useLocal(volume, user, signal);
  }

  #useLocal(volume: LocalVolume, user: string, signal?: AbortSignal): string | Promise<string> {
    signal?.throwIfAborted();
    const { name, path } = volume;
    const known = this.#users.get(name);
    const taken = (): string => {
      if (needsMount(volume.options)) this.#addUser(name, user, path);
      return path;
    };
    if (known) return taken();
    this.#deps.local.makeDirectory(name);
    if (!needsMount(volume.options) || this.#deps.local.isMounted(volume)) return taken();
    const pending = this.#deps.local.mount(volume, signal);
    return pending ? pending.then(taken) : taken();
  }

  async #useByPlugin({ name, driver }: LocalVolume, user: string): Promise<string> {
    const known = this.#users.get(name);
    if (known?.ids.has(user) && known.path !== "") return known.path;
    const plugin = await this.#deps.plugins.get(driver);
    this.#deps.table.insertMount({ volume: name, driver, user });
    let path: string;
    try {
      path = await plugin.mount(name, user);
    } catch (error) {
      // one that said no has mounted nothing; of any other answer nobody knows
      if (isAnswer(error)) this.#deps.table.deleteMount(name, user);
      else await this.unmountByPlugin(plugin, name, user).catch(() => {});
      return fail("internal", `error while mounting volume '${name}': ${errorMessage(error)}`);
    }
    this.#addUser(name, user, path);
    return path;
  }

  #addUser(name: string, user: string, path: string): void {
    const known = this.#users.get(name) ?? { path, ids: new Set() };
    known.path = path;
    known.ids.add(user);
    this.#users.set(name, known);
  }

  /** Notes that a container, found running at start, uses the volume. */
  adopt(name: string, user: string): void {
    const volume = this.#deps.find(name);
    if (!volume) return;
    if (volume.driver !== LOCAL_DRIVER || needsMount(volume.options)) this.#addUser(name, user, volume.path);
  }

  /** Ends a use; after the last one what was mounted is unmounted, a plug-in is told of each. What goes wrong is logged. */
  release(name: string, user: string): void | Promise<void> {
    if (!this.#users.get(name)?.ids.has(user) && !this.#deps.locks.isBusy(name)) return;
    const volume = this.#deps.find(name);
    if (!volume) return void this.#users.delete(name);
    const failed = (error: unknown): void =>
      this.#deps.log.warn("volume could not be unmounted", { volume: name, user, error: errorMessage(error) });
    if (volume.driver !== LOCAL_DRIVER || isMountedAside(volume.options) || this.#deps.locks.isBusy(name)) {
      return this.#deps.locks.run(name, () => this.#release(volume, user)).catch(failed);
    }
    try {
      return this.#release(volume, user);
    } catch (error) {
      failed(error);
    }
  }

  #release(volume: LocalVolume, user: string): void | Promise<void> {
    const { name, driver } = volume;
    const known = this.#users.get(name);
    if (!known?.ids.delete(user)) return;
    if (known.ids.size === 0) this.#users.delete(name);
    if (driver !== LOCAL_DRIVER) return this.#deps.plugins.get(driver).then((plugin) => this.unmountByPlugin(plugin, name, user));
    if (known.ids.size === 0) return this.#deps.local.unmount(volume);
  }

  /** Has a plug-in unmount a volume; what it refuses is logged. */
  async unmountByPlugin(plugin: VolumePlugin, name: string, user: string): Promise<void> {
    try {
      await plugin.unmount(name, user);
    } catch (error) {
      if (!isAnswer(error)) throw error;
      this.#deps.log.warn("a plugin refused to unmount a volume", { volume: name, driver: plugin.name, error: errorMessage(error) });
    }
    this.#deps.table.deleteMount(name, user);
  }
}

function fail(kind: DhowError["kind"], message: string): never {
  throw new DhowError(kind, message);
}
