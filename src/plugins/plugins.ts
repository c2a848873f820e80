import { readdir } from "node:fs/promises";
import { DhowError, errnoCode, errorMessage, type Logger } from "../lib/mod.ts";
import { type CallOptions, Plugin } from "./plugin.ts";
import { isSocket, type PluginAddress, readSpecFile } from "./spec-file.ts";

export interface PluginsDeps {
  /** `/run/docker/plugins`. */
  readonly socketDir: string;
  /** `/etc/docker/plugins`, `/usr/lib/docker/plugins`: the first that has a name counts. */
  readonly specDirs: readonly string[];
  /** How long a plug-in may take to answer. */
  readonly timeoutMs: number;
  readonly log: Logger;
}

/** What can be a plug-in's name: nothing that leads out of the directories. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const SPEC_SUFFIXES = [".spec", ".json"];

/** The error of a name that is nobody's. */
export function pluginError(name: string): DhowError {
  return new DhowError("notFound", `plugin ${JSON.stringify(name)} not found`);
}

/** The plug-ins of this host: found by name or by looking, activated once, remembered while they are there. */
export class Plugins {
  readonly #deps: PluginsDeps;
  readonly #active = new Map<string, { readonly at: string; readonly plugin: Promise<Plugin> }>();

  constructor(deps: PluginsDeps) {
    this.#deps = deps;
  }

  /**
   * The plug-in of that name, activated.
   * @throws notFound `plugin "x" not found`, also when it is none of `kind`; internal, unavailable when it doesn't answer as it should
   */
  async get(name: string, kind: string, options: CallOptions = {}): Promise<Plugin> {
    const address = NAME.test(name) ? await this.#find(name) : undefined;
    if (address === undefined) {
      this.#active.delete(name);
      throw pluginError(name);
    }
    const plugin = await this.#activate(name, address, options);
    if (!plugin.has(kind)) {
      const what = `plugin=${JSON.stringify(name)}, requested implementation=${JSON.stringify(kind)}`;
      throw new DhowError("notFound", `Plugin does not implement the requested driver: ${what}`);
    }
    return plugin;
  }

  /** Every plug-in of `kind` that can be activated, by name; those that can't are logged and left out. Nobody is waited for twice. */
  async all(kind: string, options: CallOptions = {}): Promise<Plugin[]> {
    const names = await this.names();
    const found = await Promise.all(
      names.map((name) =>
        this.get(name, kind, { retry: false, ...options }).catch((error: unknown) => {
          if (!(error instanceof DhowError && error.kind === "notFound")) {
            this.#deps.log.warn("plugin can't be used", { plugin: name, error: errorMessage(error) });
          }
          return undefined;
        }),
      ),
    );
    return found.filter((plugin) => plugin !== undefined);
  }

  /** The names of what lies in the directories, whether or not it answers. */
  async names(): Promise<string[]> {
    const { socketDir, specDirs } = this.#deps;
    const found = await Promise.all([
      namesIn(socketDir, [".sock"], isSocket),
      ...specDirs.map((dir) => namesIn(dir, SPEC_SUFFIXES, async () => true)),
    ]);
    return [...new Set(found.flat())].filter((name) => NAME.test(name)).sort();
  }

  async #find(name: string): Promise<PluginAddress | undefined> {
    const { socketDir, specDirs } = this.#deps;
    for (const path of [`${socketDir}/${name}.sock`, `${socketDir}/${name}/${name}.sock`]) {
      if (await isSocket(path)) return { url: "http://plugin", socket: path };
    }
    for (const dir of specDirs) {
      for (const suffix of SPEC_SUFFIXES) {
        for (const path of [`${dir}/${name}${suffix}`, `${dir}/${name}/${name}${suffix}`]) {
          try {
            return await readSpecFile(path);
          } catch (error) {
            if (errnoCode(error) !== "ENOENT" && errnoCode(error) !== "ENOTDIR") throw error;
          }
        }
      }
    }
    return undefined;
  }

  /** A plug-in at another address than before is another one. One that fails is asked anew the next time. */
  #activate(name: string, address: PluginAddress, options: CallOptions): Promise<Plugin> {
    const at = JSON.stringify(address);
    const known = this.#active.get(name);
    if (known?.at === at) return known.plugin;
    const made = new Plugin(name, address, this.#deps.timeoutMs);
    const plugin = made.activate(options).then(() => made);
    const entry = { at, plugin };
    this.#active.set(name, entry);
    plugin.catch(() => {
      if (this.#active.get(name) === entry) this.#active.delete(name);
    });
    return plugin;
  }
}

/** `<name><suffix>` and `<name>/<name><suffix>` in a directory that may be missing. */
async function namesIn(dir: string, suffixes: readonly string[], counts: (path: string) => Promise<boolean>): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    if (errnoCode(error) === "ENOENT" || errnoCode(error) === "ENOTDIR") return [];
    throw error;
  });
  const found: string[] = [];
  for (const entry of entries) {
    const suffix = suffixes.find((end) => entry.name.endsWith(end));
    if (suffix !== undefined && !entry.isDirectory()) {
      if (await counts(`${dir}/${entry.name}`)) found.push(entry.name.slice(0, -suffix.length));
    } else if (entry.isDirectory()) {
      const inside = new Set(await readdir(`${dir}/${entry.name}`).catch(() => []));
      if (suffixes.some((end) => inside.has(entry.name + end))) found.push(entry.name);
    }
  }
  return found;
}
