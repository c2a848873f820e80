import { DhowError, errorMessage } from "../lib/mod.ts";
import type { CallOptions, Plugin, Plugins } from "../plugins/mod.ts";

/** The kind of plug-in that drives volumes. */
export const VOLUME_DRIVER = "VolumeDriver";
/** Creating and mounting may be work; docker gives it twice the time, too. */
const LONG = 2;
/** Who lists volumes waits for every plug-in. */
const LIST_MS = 10_000;

type StringMap = Readonly<Record<string, string>>;

/** A volume as its plug-in tells of it. */
export interface PluginVolume {
  readonly name: string;
  /** Empty while it is mounted nowhere, with most. */
  readonly mountpoint: string;
  /** RFC 3339, or empty. */
  readonly createdAt: string;
  readonly status: Readonly<Record<string, unknown>> | undefined;
}

/** Whether the plug-in itself said no, and did not just fail to answer. */
export function isAnswer(error: unknown): boolean {
  return error instanceof DhowError && error.details["status"] !== undefined;
}

const text = (value: unknown): string => (typeof value === "string" ? value : "");

function decodeVolume(value: unknown): PluginVolume | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { Name, Mountpoint, CreatedAt, Status } = value as Readonly<Record<string, unknown>>;
  if (text(Name) === "") return undefined;
  const status = typeof Status === "object" && Status !== null && !Array.isArray(Status) ? (Status as Record<string, unknown>) : undefined;
  return { name: text(Name), mountpoint: text(Mountpoint), createdAt: text(CreatedAt), status };
}

/**
 * A driver outside of the engine, in docker's protocol. Every call has a deadline and throws what the plug-in says.
 * @see <https://docs.docker.com/engine/extend/plugins_volume/>
 */
export class VolumePlugin {
  readonly #plugin: Plugin;
  readonly #timeoutMs: number;
  #scope: "local" | "global" | undefined;

  constructor(plugin: Plugin, timeoutMs: number) {
    this.#plugin = plugin;
    this.#timeoutMs = timeoutMs;
  }

  get name(): string {
    return this.#plugin.name;
  }

  async create(name: string, options: StringMap): Promise<void> {
    await this.#call("Create", { Name: name, Opts: options }, { timeoutMs: this.#timeoutMs * LONG });
  }

  async remove(name: string): Promise<void> {
    await this.#call("Remove", { Name: name });
  }

  /** The path of the volume on this host. */
  async mount(name: string, id: string): Promise<string> {
    const { Mountpoint } = await this.#call("Mount", { Name: name, ID: id }, { timeoutMs: this.#timeoutMs * LONG });
    if (!text(Mountpoint).startsWith("/")) {
      throw new DhowError("internal", `VolumeDriver.Mount: plugin ${JSON.stringify(this.name)} names no mount point of volume ${name}`);
    }
    return text(Mountpoint);
  }

  async unmount(name: string, id: string): Promise<void> {
    await this.#call("Unmount", { Name: name, ID: id });
  }

  /** @throws also when the plug-in has no such volume: `isAnswer` */
  async get(name: string): Promise<PluginVolume> {
    const found = decodeVolume((await this.#call("Get", { Name: name }))["Volume"]);
    if (!found) throw new DhowError("notFound", "VolumeDriver.Get: no such volume", { details: { status: 200 } });
    return found;
  }

  async list(): Promise<PluginVolume[]> {
    const { Volumes } = await this.#call("List", {}, { timeoutMs: Math.min(this.#timeoutMs, LIST_MS), retry: false });
    return Array.isArray(Volumes) ? Volumes.flatMap((value) => decodeVolume(value) ?? []) : [];
  }

  /** Plug-ins from before the question was asked are local ones. */
  async scope(): Promise<"local" | "global"> {
    if (this.#scope === undefined) {
      const answer = await this.#call("Capabilities", {}).catch((error: unknown) => {
        if (isAnswer(error)) return {} as Readonly<Record<string, unknown>>;
        throw error;
      });
      const capabilities = answer["Capabilities"] as { readonly Scope?: unknown } | null | undefined;
      this.#scope = text(capabilities?.Scope).toLowerCase() === "global" ? "global" : "local";
    }
    return this.#scope;
  }

  #call(method: string, body: unknown, options: CallOptions = {}): Promise<Readonly<Record<string, unknown>>> {
    return this.#plugin.call(`${VOLUME_DRIVER}.${method}`, body, { timeoutMs: this.#timeoutMs, ...options });
  }
}

/** The volume drivers among the plug-ins. */
export class VolumePlugins {
  readonly #plugins: Plugins;
  readonly #timeoutMs: number;
  readonly #known = new WeakMap<Plugin, VolumePlugin>();

  constructor(plugins: Plugins, timeoutMs: number) {
    this.#plugins = plugins;
    this.#timeoutMs = timeoutMs;
  }

  /** @throws notFound, internal `error looking up volume plugin x: …` */
  async get(name: string): Promise<VolumePlugin> {
    try {
      return this.#driver(await this.#plugins.get(name, VOLUME_DRIVER));
    } catch (cause) {
      const kind = cause instanceof DhowError ? cause.kind : "internal";
      throw new DhowError(kind, `error looking up volume plugin ${name}: ${errorMessage(cause)}`, { cause });
    }
  }

  /** Those that answer. */
  async all(): Promise<VolumePlugin[]> {
    const found = await this.#plugins.all(VOLUME_DRIVER, { timeoutMs: Math.min(this.#timeoutMs, LIST_MS) });
    return found.map((plugin) => this.#driver(plugin));
  }

  #driver(plugin: Plugin): VolumePlugin {
    const known = this.#known.get(plugin) ?? new VolumePlugin(plugin, this.#timeoutMs);
    this.#known.set(plugin, known);
    return known;
  }
}
