import { KeyedMutex } from "../../lib/mod.ts";
import { InsecureRegistries, login } from "../../registry/mod.ts";
import type { CdiRegistry, HostFacts } from "../../runtime/mod.ts";
import type {
  AuthResponse,
  CallOptions,
  CheckOptions,
  CheckReport,
  ContainersApi,
  DiskUsage,
  EventMessage,
  EventsOptions,
  ImagesApi,
  LogUsage,
  RegistryCredentials,
  SystemApi,
  SystemInfo,
  SystemVersion,
  Volume,
} from "../../spec/engine/mod.ts";
import type { EventHub } from "../events.ts";
import { CHECKS, type CheckDeps, runChecks } from "./check/mod.ts";
import { type Counts, type InfoSettings, systemInfo, systemVersion } from "./info.ts";

export interface SystemDeps {
  readonly facts: HostFacts;
  readonly settings: () => InfoSettings;
  readonly counts: () => Counts;
  readonly events: EventHub;
  readonly images: ImagesApi;
  readonly containers: ContainersApi;
  /** The names of plug-ins that drive volumes. */
  readonly volumePlugins: () => Promise<readonly string[]>;
  /** The host's devices; undefined where the Container Device Interface is switched off. */
  readonly cdi: CdiRegistry | undefined;
  readonly volumeUsage: (signal: AbortSignal | undefined) => Promise<readonly Volume[]>;
  readonly layersSizeBytes: () => number;
  readonly logUsage: () => readonly LogUsage[];
  readonly check: CheckDeps;
}

/** What clients ask about the engine itself. */
export class System implements SystemApi {
  readonly #deps: SystemDeps;
  /** One repair at a time. */
  readonly #checking = new KeyedMutex();

  constructor(deps: SystemDeps) {
    this.#deps = deps;
  }

  async version(): Promise<SystemVersion> {
    return systemVersion(this.#deps.facts, this.#deps.settings());
  }

  async info(): Promise<SystemInfo> {
    const { facts, settings, counts, cdi, volumePlugins: pluginNames } = this.#deps;
    const [volumePlugins, discovered] = await Promise.all([pluginNames(), cdi?.discovered()]);
    const devices = { cdiSpecDirs: cdi?.directories ?? [], cdiDevices: discovered?.names ?? [], cdiWarnings: discovered?.warnings ?? [] };
    return systemInfo(facts, { ...settings(), volumePlugins, ...devices }, counts());
  }

  events(options: EventsOptions): AsyncIterable<EventMessage> {
    return this.#deps.events.stream(options);
  }

  async authenticate(given: RegistryCredentials, { signal }: CallOptions): Promise<AuthResponse> {
    const { username = "", password = "", identitytoken: identityToken = "", serveraddress: serverAddress = "" } = given;
    const insecure = new InsecureRegistries(this.#deps.settings().insecureRegistries);
    const token = await login({ username, password, identityToken }, { serverAddress, insecure, signal });
    return { IdentityToken: token, Status: "Login Succeeded" };
  }

  check(options: CheckOptions): Promise<CheckReport> {
    return this.#checking.run("check", () => runChecks(CHECKS, this.#deps.check, options));
  }

  async diskUsage(types: readonly string[], { signal }: CallOptions = {}): Promise<DiskUsage> {
    const { images, containers, volumeUsage } = this.#deps;
    const wants = (type: string): boolean => types.length === 0 || types.includes(type);
    return {
      LayersSize: wants("image") ? this.#deps.layersSizeBytes() : 0,
      Images: wants("image") ? await images.list({ all: false, digests: false, sharedSize: true, manifests: false, filters: {} }) : [],
      Containers: wants("container") ? await containers.list({ all: true, limit: 0, size: true, filters: {} }) : [],
      Volumes: wants("volume") ? await volumeUsage(signal) : [],
      BuildCache: [],
      Logs: wants("container") ? this.#deps.logUsage() : [],
    };
  }
}
