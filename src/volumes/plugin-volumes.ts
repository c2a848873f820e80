import { DhowError, errorMessage, type Logger } from "../lib/mod.ts";
import type { LocalVolume, VolumeRequest } from "./volume.ts";
import { isAnswer, type PluginVolume, type VolumePlugins } from "./volume-plugin.ts";
import type { VolumeRecords } from "./volume-records.ts";
import type { VolumeUsers } from "./volume-users.ts";

export interface PluginVolumesDeps {
  readonly records: VolumeRecords;
  readonly plugins: VolumePlugins;
  readonly users: VolumeUsers;
  readonly log: Logger;
}

/** The volumes of a driver, as it lists them, or as they are known here when it can't. */
interface DriverVolumes {
  readonly driver: string;
  readonly listed: readonly LocalVolume[];
}

/** The volumes of drivers outside of the engine: what their plug-ins tell of them, with the labels and options that are noted here. */
export class PluginVolumes {
  readonly #deps: PluginVolumesDeps;

  constructor(deps: PluginVolumesDeps) {
    this.#deps = deps;
  }

  /** What its plug-in says of a volume that is known here; undefined when it has none of that name. @throws internal when it can't say */
  async ask({ name, driver }: LocalVolume, operation: "get" | "create"): Promise<LocalVolume | undefined> {
    try {
      const plugin = await this.#deps.plugins.get(driver);
      const [found, scope] = await Promise.all([plugin.get(name), plugin.scope()]);
      return this.#volumeOf(driver, found, scope);
    } catch (cause) {
      if (isAnswer(cause)) return undefined;
      const prefix = operation === "get" ? `get ${name}: ` : "";
      const what = `${prefix}error while checking if volume ${JSON.stringify(name)} exists in driver ${JSON.stringify(driver)}`;
      throw new DhowError("internal", `${what}: ${errorMessage(cause)}`, { cause });
    }
  }

  /** A volume that is not known here, but to some plug-in. */
  async search(name: string): Promise<LocalVolume | undefined> {
    const found = await Promise.all(
      (await this.#deps.plugins.all()).map(async (plugin) => {
        try {
          const [volume, scope] = await Promise.all([plugin.get(name), plugin.scope()]);
          return this.#volumeOf(plugin.name, volume, scope);
        } catch {
          return undefined;
        }
      }),
    );
    return found.find((volume) => volume !== undefined);
  }

  /** The volumes of each driver that is there; of one that doesn't list them those that are `known` here, and a warning. */
  async list(
    isWanted: (driver: string) => boolean,
    known: readonly LocalVolume[],
  ): Promise<{ readonly drivers: readonly DriverVolumes[]; readonly warnings: string[] }> {
    const plugins = (await this.#deps.plugins.all()).filter(({ name }) => isWanted(name));
    const warnings: string[] = [];
    const drivers = await Promise.all(
      plugins.map(async (plugin) => {
        try {
          const [listed, scope] = await Promise.all([plugin.list(), plugin.scope()]);
          return { driver: plugin.name, listed: listed.map((volume) => this.#volumeOf(plugin.name, volume, scope)) };
        } catch (error) {
          warnings.push(`list ${plugin.name}: ${errorMessage(error)}`);
          return { driver: plugin.name, listed: known.filter(({ driver }) => driver === plugin.name) };
        }
      }),
    );
    return { drivers, warnings };
  }

  /** Has a plug-in make a volume, or takes over the one that it has; `onCreate` is told before. @throws notFound (driver), and what it says */
  async create(
    request: VolumeRequest & { readonly name: string; readonly driver: string },
    onCreate: (name: string) => void,
  ): Promise<{ readonly volume: LocalVolume; readonly created: boolean }> {
    const { name, driver } = request;
    const plugin = await this.#deps.plugins.get(driver);
    // it may have been made by another engine, or before a crash
    const present = await plugin.get(name).catch((error: unknown) => {
      if (isAnswer(error)) return undefined;
      throw error;
    });
    onCreate(name);
    const row = this.#deps.records.rowOf(request, driver);
    if (present === undefined) await plugin.create(name, request.options ?? {});
    const own = this.#deps.records.insert(row);
    const made = present ?? (await plugin.get(name).catch(() => undefined));
    const scope = await plugin.scope().catch(() => "local" as const);
    return { volume: made ? this.#volumeOf(driver, made, scope) : own, created: present === undefined };
  }

  /** Has its plug-in remove a volume, and forgets it; with `force` also when the plug-in fails. @throws internal with what it says */
  async remove({ name, driver }: LocalVolume, force: boolean): Promise<void> {
    const { plugins, users, records, log } = this.#deps;
    try {
      const plugin = await plugins.get(driver);
      // of a container that is being removed
      for (const user of users.of(name)) await users.unmountByPlugin(plugin, name, user);
      await plugin.remove(name);
    } catch (cause) {
      if (!force) throw new DhowError("internal", `remove ${name}: ${errorMessage(cause)}`, { cause });
      log.warn("forget a volume that its plugin did not remove", { volume: name, driver, error: errorMessage(cause) });
    }
    users.forget(name);
    records.delete(name);
  }

  #volumeOf(driver: string, { name, mountpoint, createdAt, status }: PluginVolume, scope: "local" | "global"): LocalVolume {
    const own = this.#deps.records.get(name);
    const { labels, options } = own?.driver === driver ? own : { labels: null, options: null };
    return { name, driver, createdAt, labels, options, path: mountpoint, scope, ...(status === undefined ? {} : { status }) };
  }
}
