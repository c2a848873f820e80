import type { ContainerInspectResponse, EndpointSettings, HealthConfig, HostConfig, ImageConfig } from "../../spec/engine/mod.ts";

/** What the engine puts where a request is silent. */
export interface EngineDefaults {
  readonly logDriver: string;
  readonly runtime: string;
  readonly cgroupnsMode: string;
}

/**
 * What was asked for when a container was made: what inspect shows, without what came from its image and from the engine's defaults.
 * The source of every form in which `inspect --as` prints a container.
 */
export interface Own {
  readonly name: string;
  readonly image: string;
  /** undefined = the image's; empty = none. */
  readonly entrypoint: readonly string[] | undefined;
  /** undefined = the image's. */
  readonly command: readonly string[] | undefined;
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly hostname: string;
  readonly domainname: string;
  readonly user: string;
  readonly workingDir: string;
  readonly exposed: readonly string[];
  /** Paths with a volume of their own. */
  readonly anonymousVolumes: readonly string[];
  readonly health: HealthConfig | undefined;
  readonly stopSignal: string;
  readonly stopTimeout: number | undefined;
  readonly isInteractive: boolean;
  readonly isTty: boolean;
  readonly isDetached: boolean;
  /** Only what differs from the defaults. */
  readonly host: HostConfig;
  readonly networks: Readonly<Record<string, EndpointSettings>>;
}

const SHM_BYTES = 64 << 20;
const SHORT_ID = 12;

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);
const isEmpty = (value: unknown): boolean =>
  value === undefined ||
  value === null ||
  value === "" ||
  value === 0 ||
  value === false ||
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === "object" && !Array.isArray(value) && Object.keys(value).length === 0);

/** The fields of a HostConfig that somebody has set. */
function ownHost(host: HostConfig, defaults: EngineDefaults): HostConfig {
  const { LogConfig, RestartPolicy, MaskedPaths, ReadonlyPaths } = host;
  const isDefault: { readonly [K in keyof HostConfig]?: boolean } = {
    NetworkMode: host.NetworkMode === "bridge" || host.NetworkMode === "default",
    ShmSize: host.ShmSize === SHM_BYTES,
    IpcMode: host.IpcMode === "private",
    CgroupnsMode: host.CgroupnsMode === defaults.cgroupnsMode,
    Runtime: host.Runtime === defaults.runtime,
    LogConfig: LogConfig?.Type === defaults.logDriver && isEmpty(LogConfig.Config),
    RestartPolicy: !RestartPolicy?.Name || RestartPolicy.Name === "no",
    MemorySwap: host.MemorySwap === (host.Memory ?? 0) * 2,
    MemorySwappiness: (host.MemorySwappiness ?? -1) < 0,
    ConsoleSize: true,
    SecurityOpt: host.Privileged === true && same(host.SecurityOpt, ["label=disable"]),
    // an empty list is what `systempaths=unconfined` asks for
    MaskedPaths: host.Privileged === true || MaskedPaths?.length !== 0,
    ReadonlyPaths: host.Privileged === true || ReadonlyPaths?.length !== 0,
  };
  return Object.fromEntries(
    Object.entries(host).filter(([key, value]) => {
      if (key === "MaskedPaths" || key === "ReadonlyPaths") return !isDefault[key];
      return !isEmpty(value) && isDefault[key as keyof HostConfig] !== true;
    }),
  );
}

/** A container's HostConfig with the network mode by name: an id means nothing to another engine. */
function withNetworkName({ HostConfig = {}, NetworkSettings }: ContainerInspectResponse): HostConfig {
  const { NetworkMode: mode = "" } = HostConfig;
  const networks = Object.entries(NetworkSettings?.Networks ?? {});
  if (networks.some(([name]) => name === mode) || !/^[0-9a-f]+$/.test(mode)) return HostConfig;
  const [name] = networks.find(([, endpoint]) => endpoint?.NetworkID?.startsWith(mode)) ??
    (networks.length === 1 ? networks[0] : undefined) ?? [mode];
  return { ...HostConfig, NetworkMode: name };
}

/** Compares a container with its image (undefined: it is gone) and the engine's defaults. */
export function ownOf(container: ContainerInspectResponse, image: ImageConfig | undefined, defaults: EngineDefaults): Own {
  const { Config = {}, Name = "", Id = "", NetworkSettings } = container;
  const HostConfig = withNetworkName(container);
  const entrypoint = same(Config.Entrypoint, image?.Entrypoint) ? undefined : (Config.Entrypoint ?? []);
  const isImagesCommand = entrypoint === undefined && same(Config.Cmd, image?.Cmd);
  const inherited = image?.Labels ?? {};
  const isOwnHostname = Config.Hostname !== Id.slice(0, SHORT_ID) && HostConfig.NetworkMode !== "host" && HostConfig.UTSMode !== "host";
  const published = Object.keys(HostConfig.PortBindings ?? {});
  const keys = (map: Readonly<Record<string, unknown>> | null | undefined): string[] => Object.keys(map ?? {});
  const userNetworks = Object.entries(NetworkSettings?.Networks ?? {}).filter(([name]) => !["bridge", "host", "none"].includes(name));
  return {
    name: Name.replace(/^\//, ""),
    image: Config.Image ?? "",
    entrypoint,
    command: isImagesCommand ? undefined : (Config.Cmd ?? []),
    env: (Config.Env ?? []).filter((entry) => !(image?.Env ?? []).includes(entry)),
    labels: Object.fromEntries(Object.entries(Config.Labels ?? {}).filter(([key, value]) => inherited[key] !== value)),
    hostname: isOwnHostname ? (Config.Hostname ?? "") : "",
    domainname: Config.Domainname ?? "",
    user: Config.User === (image?.User ?? "") ? "" : (Config.User ?? ""),
    workingDir: Config.WorkingDir === (image?.WorkingDir ?? "") ? "" : (Config.WorkingDir ?? ""),
    exposed: keys(Config.ExposedPorts).filter((port) => !keys(image?.ExposedPorts).includes(port) && !published.includes(port)),
    anonymousVolumes: keys(Config.Volumes).filter((path) => !keys(image?.Volumes).includes(path)),
    health: same(Config.Healthcheck, image?.Healthcheck) ? undefined : Config.Healthcheck,
    stopSignal: Config.StopSignal === image?.StopSignal ? "" : (Config.StopSignal ?? ""),
    stopTimeout: Config.StopTimeout ?? undefined,
    isInteractive: Config.OpenStdin ?? false,
    isTty: Config.Tty ?? false,
    isDetached: !Config.AttachStdout && !Config.AttachStderr,
    host: ownHost(HostConfig, defaults),
    networks: Object.fromEntries(userNetworks.map(([name, settings]) => [name, settings ?? {}])),
  };
}
