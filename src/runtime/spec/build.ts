import { DhowError } from "../../lib/mod.ts";
import type { HostConfig } from "../../spec/engine/mod.ts";
import type {
  OciCapabilities,
  OciMount,
  OciNamespace,
  OciNamespaceType,
  OciProcess,
  OciSeccomp,
  OciSpec,
  OciUser,
} from "../../spec/oci-runtime/mod.ts";
import type { SpecEdit } from "../cdi/mod.ts";
import type { HostFacts } from "../host.ts";
import { type IdMappings, idsFromZero } from "../userns/mod.ts";
import { capabilityNames, containerCapabilities } from "./capabilities.ts";
import { containerDevices } from "./devices.ts";
import { containerOomScoreAdj, containerRlimits, type Ulimit, withoutRaising } from "./limits.ts";
import { isHostMode, isPrivateMode } from "./modes.ts";
import { defaultMounts, rootPropagation, withUserMounts } from "./mounts.ts";
import { containerResources } from "./resources.ts";
import { defaultSeccomp, parseSeccomp } from "./seccomp.ts";
import { parseSecurityOptions, type SecurityOptions } from "./security-options.ts";
import { containerSysctls } from "./sysctls.ts";

/** The network namespace of a container: one that is there, a new empty one made by the runtime, or the host's. */
export type SpecNetwork = { readonly kind: "join"; readonly path: string } | { readonly kind: "new" } | { readonly kind: "host" };

/** What the daemon gives to containers that don't say otherwise. */
export interface SpecDefaults {
  readonly ulimits?: readonly Ulimit[];
  readonly noNewPrivileges?: boolean;
  /** JSON of a seccomp profile, or `unconfined`; empty or undefined = the built-in one. */
  readonly seccompProfile?: string;
  /** AppArmor profile that is loaded; undefined when the host has none. */
  readonly apparmorProfile?: string;
  /** Program to run as the container's init with `--init`; bound read-only at /sbin/docker-init. */
  readonly initPath?: string;
  readonly init?: boolean;
}

export interface SpecInput {
  readonly id: string;
  /** Absolute path of the mounted root file system. */
  readonly rootfs: string;
  readonly hostname: string;
  readonly domainname: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: OciUser;
  readonly terminal: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number } | undefined;
  readonly hostConfig: HostConfig;
  /** User mounts, resolved and sorted by depth, with the engine's own (/etc/hosts, …) at the end. */
  readonly mounts: readonly OciMount[];
  /** What devices change, before the user's mounts come on top. */
  readonly edit?: SpecEdit | undefined;
  readonly network: SpecNetwork;
  /** `/proc/<pid>/ns/ipc` of the container whose namespace is joined. */
  readonly ipcPath?: string | undefined;
  /** What to bind at /dev/mqueue where its file system can't be mounted anew; null for nothing. */
  readonly mqueuePath?: string | null | undefined;
  readonly pidPath?: string | undefined;
  /** The user namespace, which is there already, and what is mapped in it; without one the container is in the host's. */
  readonly userns?: { readonly path: string; readonly mappings: IdMappings } | undefined;
  /** Directory bound at /dev/shm: of a shareable container, of the one joined, or the host's. */
  readonly shmPath?: string | undefined;
  /** Absolute path below every hierarchy's root, `/dhow/<daemon>/<id>`. */
  readonly cgroupsPath: string;
  readonly facts: HostFacts;
  readonly defaults?: SpecDefaults;
}

export interface BuiltSpec {
  readonly spec: OciSpec;
  /** Sentences for the user about what was lowered to what the host allows. */
  readonly warnings: readonly string[];
}

/** Size of /dev/shm when none is given. */
export const DEFAULT_SHM_SIZE = 64 * 1024 * 1024;
const INIT_PATH = "/sbin/docker-init";

function namespaces(input: SpecInput): OciNamespace[] {
  const { hostConfig, network } = input;
  const list: OciNamespace[] = [{ type: "mount" }];
  const add = (type: OciNamespaceType, path?: string): void => {
    list.push(path === undefined ? { type } : { type, path });
  };
  if (input.userns !== undefined) add("user", input.userns.path);
  if (network.kind !== "host") add("network", network.kind === "join" ? network.path : undefined);
  if (!isHostMode(hostConfig.UTSMode)) add("uts");
  if (!isHostMode(hostConfig.PidMode)) add("pid", input.pidPath);
  if (!isHostMode(hostConfig.IpcMode)) add("ipc", input.ipcPath);
  if (hostConfig.CgroupnsMode === "private" && input.facts.cgroupNamespaces) add("cgroup");
  return list;
}

function capabilitySets(names: readonly string[]): OciCapabilities {
  // No ambient set: a process of another user than root has none effective after execve, as with docker.
  return { bounding: names, effective: names, permitted: names, inheritable: [], ambient: [] };
}

function seccomp(input: SpecInput, options: SecurityOptions, capabilities: readonly string[]): OciSeccomp | undefined {
  const { facts, hostConfig } = input;
  if (options.seccomp === "unconfined") return undefined;
  const context = { arch: facts.arch, kernel: facts.kernel, capabilities };
  const isCustom = options.seccomp !== "" && options.seccomp !== "builtin";
  if (hostConfig.Privileged) return isCustom ? parseSeccomp(options.seccomp, context) : undefined;
  if (!facts.seccomp) {
    if (isCustom) throw new DhowError("internal", "seccomp is not enabled in your kernel, cannot run a custom seccomp profile");
    return undefined;
  }
  if (isCustom) return parseSeccomp(options.seccomp, context);
  const daemonProfile = options.seccomp === "builtin" ? "" : (input.defaults?.seccompProfile ?? "");
  if (daemonProfile === "unconfined") return undefined;
  return daemonProfile === "" || daemonProfile === "builtin" ? defaultSeccomp(context) : parseSeccomp(daemonProfile, context);
}

/**
 * The AppArmor profile that a container runs under: the one it names, else `unconfined` for a privileged one, else the default. Undefined
 * on a host without AppArmor, and where there is no default.
 * @throws invalid for security options that are none
 */
export function appArmorProfileOf(hostConfig: HostConfig, facts: HostFacts, defaultProfile: string | undefined): string | undefined {
  if (!facts.apparmor) return undefined;
  const { apparmor } = parseSecurityOptions(hostConfig.SecurityOpt);
  return apparmor || (hostConfig.Privileged ? "unconfined" : defaultProfile);
}

const wantsInit = (input: SpecInput): boolean =>
  (input.hostConfig.Init ?? input.defaults?.init ?? false) && isPrivateMode(input.hostConfig.PidMode);

function initMount(input: SpecInput): OciMount[] {
  if (!wantsInit(input)) return [];
  const source = input.defaults?.initPath;
  if (source === undefined) throw new DhowError("internal", 'exec: "docker-init": executable file not found in $PATH');
  return [{ destination: INIT_PATH, type: "bind", source, options: ["bind", "ro"] }];
}

function engineMounts(input: SpecInput, options: SecurityOptions): OciMount[] {
  const { hostConfig } = input;
  const privileged = hostConfig.Privileged === true;
  const ipcMode = hostConfig.IpcMode || "private";
  return defaultMounts({
    privileged,
    writableCgroups: options.writableCgroups ?? privileged,
    ipcMode,
    shmSizeBytes: hostConfig.ShmSize || DEFAULT_SHM_SIZE,
    shmPath: input.shmPath ?? (ipcMode === "host" ? "/dev/shm" : undefined),
    mqueuePath: input.mqueuePath,
  });
}

function paths(given: readonly string[] | null | undefined, standard: readonly string[], privileged: boolean): readonly string[] {
  // null = Docker's defaults, [] = none; a privileged container has only what is asked for.
  return given ?? (privileged ? [] : standard);
}

function some<K extends string, T>(key: K, value: T | undefined): { readonly [P in K]?: T } {
  return (value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: T };
}

/**
 * The OCI configuration of a container, as Docker Engine 28 would make it for the same request. Pure but for a look at the devices asked for.
 * @throws invalid in docker's words: devices, device rules, security options, ulimits
 */
export function buildSpec(input: SpecInput): BuiltSpec {
  const { hostConfig, defaults = {}, userns } = input;
  const facts = userns === undefined ? input.facts : withoutRaising(input.facts);
  const privileged = hostConfig.Privileged === true;
  const options = parseSecurityOptions(hostConfig.SecurityOpt, defaults.noNewPrivileges);
  const capabilities = containerCapabilities({ add: hostConfig.CapAdd, drop: hostConfig.CapDrop, privileged }, facts.boundingCapabilities);
  const limits = containerRlimits(hostConfig.Ulimits, defaults.ulimits ?? [], facts);
  const oom = containerOomScoreAdj(hostConfig.OomScoreAdj ?? 0, facts);
  const devices = containerDevices({ privileged, mappings: hostConfig.Devices, cgroupRules: hostConfig.DeviceCgroupRules });
  const sysctl = containerSysctls(hostConfig, facts, input.domainname, userns && idsFromZero(userns.mappings.gids));
  const isHostUts = isHostMode(hostConfig.UTSMode);
  const process: OciProcess = {
    terminal: input.terminal,
    ...some("consoleSize", input.consoleSize),
    user: input.user,
    args: wantsInit(input) ? [INIT_PATH, "--", ...input.args] : input.args,
    env: input.env,
    cwd: input.cwd,
    capabilities: capabilitySets(capabilities),
    ...(limits.rlimits.length > 0 ? { rlimits: limits.rlimits } : {}),
    ...(options.noNewPrivileges ? { noNewPrivileges: true } : {}),
    ...some("apparmorProfile", appArmorProfileOf(hostConfig, facts, defaults.apparmorProfile)),
    ...some("oomScoreAdj", oom.value),
  };
  const spec: OciSpec = {
    ociVersion: "1.0.2",
    ...(isHostUts ? {} : { hostname: input.hostname }),
    process,
    root: { path: input.rootfs, readonly: hostConfig.ReadonlyRootfs === true },
    mounts: engineMounts(input, options),
    ...(hostConfig.Annotations && Object.keys(hostConfig.Annotations).length > 0 ? { annotations: hostConfig.Annotations } : {}),
    linux: {
      namespaces: namespaces(input),
      // runc 1.1 wants them for a namespace that is there, too
      ...(userns === undefined ? {} : { uidMappings: userns.mappings.uids, gidMappings: userns.mappings.gids }),
      ...(devices.devices.length > 0 ? { devices: devices.devices } : {}),
      cgroupsPath: input.cgroupsPath,
      resources: { devices: devices.rules, ...containerResources(hostConfig) },
      ...some("rootfsPropagation", rootPropagation(input.mounts)),
      ...some("seccomp", seccomp(input, options, capabilities)),
      ...(Object.keys(sysctl).length > 0 ? { sysctl } : {}),
      maskedPaths: paths(hostConfig.MaskedPaths, facts.maskedPaths, privileged),
      readonlyPaths: paths(hostConfig.ReadonlyPaths, facts.readonlyPaths, privileged),
    },
  };
  const edited = input.edit?.(spec) ?? spec;
  const allMounts = withUserMounts(edited.mounts, [...input.mounts, ...initMount(input)]);
  return { spec: { ...edited, mounts: allMounts }, warnings: [...limits.warnings, ...oom.warnings] };
}

export interface ExecProcessInput {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  /** Without one it is the container's, with the groups that came with its devices. */
  readonly user?: OciUser | undefined;
  readonly terminal: boolean;
  readonly consoleSize?: { readonly height: number; readonly width: number } | undefined;
  /** `docker exec --privileged`. */
  readonly privileged: boolean;
}

/** The process of an exec: the container's own limits and confinement, with every capability the daemon has when privileged. */
export function execProcess(container: OciProcess, exec: ExecProcessInput, facts: HostFacts): OciProcess {
  const { apparmorProfile, rlimits, noNewPrivileges, oomScoreAdj } = container;
  return {
    terminal: exec.terminal,
    ...some("consoleSize", exec.consoleSize),
    user: exec.user ?? container.user,
    args: exec.args,
    env: exec.env,
    cwd: exec.cwd,
    capabilities: exec.privileged ? capabilitySets(capabilityNames(facts.boundingCapabilities)) : container.capabilities,
    ...some("rlimits", rlimits),
    ...some("noNewPrivileges", noNewPrivileges),
    // docker leaves a privileged exec in the profile of its container, too
    ...some("apparmorProfile", apparmorProfile),
    ...some("oomScoreAdj", oomScoreAdj),
  };
}
