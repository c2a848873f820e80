import type { IdMappings } from "../../runtime/mod.ts";
import type { ContainerInspectResponse, DriverData, HostConfig } from "../../spec/engine/mod.ts";
import { inspectMounts } from "../../volumes/mod.ts";
import { isUp, networkMode, shownNetworkMode } from "./container.ts";
import { healthOf } from "./health.ts";
import { networksOf } from "./list.ts";
import type { Container } from "./store.ts";

/** What inspect needs from other rooms. */
export interface InspectDeps {
  /** Where the container's /etc files are on the host: those of whose network it is in. */
  readonly etcDir: (container: Container) => string;
  readonly logPath: (container: Container) => string;
  readonly execIds: (id: string) => readonly string[] | null;
  readonly graphDriver: (container: Container) => DriverData;
  readonly appArmorProfile: (container: Container) => string;
  /** What the daemon gives to containers that don't ask for another one. */
  readonly defaultUlimits: NonNullable<HostConfig["Ulimits"]>;
  /** Undefined for a container that is gone. */
  readonly nameOf: (id: string) => string | undefined;
}

/** The container's own and the daemon's, as they are now. */
function ulimits({ defaultUlimits }: InspectDeps, { spec }: Container): Pick<HostConfig, "Ulimits"> {
  const own = spec.hostConfig.Ulimits ?? [];
  const others = defaultUlimits.filter(({ Name }) => !own.some((limit) => limit.Name === Name));
  return others.length === 0 ? {} : { Ulimits: [...own, ...others] };
}

function links(deps: InspectDeps, { name, spec }: Container): { readonly Links?: readonly string[] } {
  const shown = (spec.links ?? []).flatMap(({ id, alias }) => {
    const target = deps.nameOf(id);
    return target === undefined ? [] : [`/${target}:/${name}/${alias}`];
  });
  return shown.length > 0 ? { Links: shown } : {};
}

/** What docker has no field for: the mappings as podman shows them, and the clocks' offsets in seconds. */
function namespaces({ spec }: Container): Pick<HostConfig, "IDMappings" | "TimeOffsets"> {
  const { userns, timeOffsets } = spec;
  const shown = (ranges: IdMappings["uids"]): string[] => ranges.map((m) => `${m.containerID}:${m.hostID}:${m.size}`);
  return {
    ...(userns ? { IDMappings: { UidMap: shown(userns.uids), GidMap: shown(userns.gids) } } : {}),
    ...(timeOffsets ? { TimeOffsets: { Monotonic: timeOffsets.monotonic, Boottime: timeOffsets.boottime } } : {}),
  };
}

/** The MAC address that was asked for on the container's first network. */
function desiredMac({ spec }: Container): { readonly MacAddress?: string } {
  const mode = networkMode(spec.hostConfig);
  const endpoint = spec.endpoints[mode] ?? Object.values(spec.endpoints).find(({ NetworkID }) => NetworkID?.startsWith(mode));
  return endpoint?.MacAddress ? { MacAddress: endpoint.MacAddress } : {};
}

/** GET /containers/{id}/json. */
export function inspectContainer(
  deps: InspectDeps,
  container: Container,
  size: { readonly rw: number; readonly rootFs: number } | undefined,
): ContainerInspectResponse {
  const { id, spec, state } = container;
  const file = (name: string): string => (state.startedAt !== "" && state.status !== "created" ? `${deps.etcDir(container)}/${name}` : "");
  const health = state.health && healthOf(state.health);
  const networks = networksOf(container);
  return {
    Id: id,
    Created: spec.created,
    Path: spec.path,
    Args: spec.args,
    State: {
      Status: state.status,
      Running: isUp(state),
      Paused: state.status === "paused",
      Restarting: state.status === "restarting",
      OOMKilled: state.oomKilled,
      Dead: state.status === "dead",
      Pid: state.pid,
      ExitCode: state.exitCode,
      Error: state.error,
      StartedAt: state.startedAt,
      FinishedAt: state.finishedAt,
      ...(health ? { Health: health } : {}),
    },
    Image: spec.imageId,
    ResolvConfPath: file("resolv.conf"),
    HostnamePath: file("hostname"),
    HostsPath: file("hosts"),
    LogPath: state.status === "created" ? "" : deps.logPath(container),
    Name: `/${container.name}`,
    RestartCount: state.restartCount,
    Driver: spec.driver,
    Platform: "linux",
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: deps.appArmorProfile(container),
    ExecIDs: deps.execIds(id),
    HostConfig: {
      ...spec.hostConfig,
      NetworkMode: shownNetworkMode(spec),
      ...ulimits(deps, container),
      ...links(deps, container),
      ...namespaces(container),
    },
    GraphDriver: deps.graphDriver(container),
    ...(size ? { SizeRw: size.rw, SizeRootFs: size.rootFs } : {}),
    Mounts: inspectMounts(spec.mounts),
    // before 1.52 with the address that was asked for, which the server drops for later versions
    Config: { ...spec.config, ...desiredMac(container) },
    NetworkSettings: {
      SandboxID: state.network?.sandboxId ?? "",
      SandboxKey: state.network?.sandboxKey ?? "",
      Ports: state.network?.ports ?? {},
      Networks: networks,
    },
  };
}
