import { DhowError, errorMessage } from "../../lib/mod.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, major, minor, S_IFBLK, S_IFCHR, S_IFIFO, S_IFMT, strerror, tryStatx } from "../../linux/mod.ts";
import type { OciDevice, OciDeviceRule, OciHook, OciHooks, OciIntelRdt, OciMount, OciSpec, OciUser } from "../../spec/oci-runtime/mod.ts";
import type { CdiDeviceNode, CdiHook, CdiIntelRdt, CdiMount, ContainerEdits } from "./document.ts";
import { HOOK_NAMES } from "./validate.ts";

const ACCESS_ALL = "rwm";
const TYPES: Readonly<Record<number, string>> = { [S_IFBLK]: "b", [S_IFCHR]: "c", [S_IFIFO]: "p" };

interface HostDevice {
  readonly type: string;
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
}

/** The device file at `path`, or why there is none. */
function hostDevice(path: string): HostDevice | string {
  try {
    const stat = tryStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
    if (stat === undefined) return strerror(2);
    const type = TYPES[stat.mode & S_IFMT];
    if (type === undefined) return "not a device node";
    return { type, major: major(stat.rdev), minor: minor(stat.rdev), fileMode: stat.mode & 0o7777 };
  } catch (error) {
    return errorMessage(error);
  }
}

/** Says of a device what the document leaves to the host's. @throws invalid when the host has none, or one of another type */
function completed(node: CdiDeviceNode): HostDevice | Omit<HostDevice, "fileMode"> {
  const { path, hostPath, type } = node;
  const isComplete = type !== "" && (node.major !== 0 || type === "p");
  const host = hostDevice(hostPath || path);
  if (typeof host === "string") {
    if (isComplete) return { type, major: node.major, minor: node.minor };
    throw new DhowError("invalid", `failed to stat CDI host device ${JSON.stringify(hostPath || path)}: ${host}`);
  }
  const { fileMode } = host;
  if (isComplete) return { type, major: node.major, minor: node.minor, fileMode };
  if (type !== "" && type !== host.type) {
    const paths = `(${JSON.stringify(path)}, ${JSON.stringify(hostPath || path)})`;
    throw new DhowError("invalid", `CDI device ${paths}, host type mismatch (${type}, ${host.type})`);
  }
  const number = node.major !== 0 || host.type === "p" ? node : host;
  return { type: host.type, major: number.major, minor: number.minor, fileMode };
}

/** Belongs to the container's user where the document doesn't say whose it is. */
function ociDevice(node: CdiDeviceNode, user: OciUser): OciDevice {
  const host = completed(node);
  const fileMode = node.fileMode ?? ("fileMode" in host ? host.fileMode : undefined);
  const uid = node.uid ?? (user.uid > 0 ? user.uid : undefined);
  const gid = node.gid ?? (user.gid > 0 ? user.gid : undefined);
  return {
    path: node.path,
    type: host.type,
    major: host.major,
    minor: host.minor,
    ...(fileMode !== undefined && { fileMode }),
    ...(uid !== undefined && { uid }),
    ...(gid !== undefined && { gid }),
  };
}

interface Node {
  readonly device: OciDevice;
  readonly permissions: string;
}

function ociDevices(nodes: readonly CdiDeviceNode[], user: OciUser): readonly Node[] {
  try {
    return nodes.map((node) => ({ device: ociDevice(node, user), permissions: node.permissions }));
  } catch (cause) {
    throw new DhowError("invalid", `failed to inject devices: ${errorMessage(cause)}`, { cause });
  }
}

function ruleFor({ type, major: majorNumber = 0, minor: minorNumber = 0 }: OciDevice, permissions: string): OciDeviceRule[] {
  if (type !== "b" && type !== "c") return [];
  return [{ allow: true, type, major: majorNumber, minor: minorNumber, access: permissions || ACCESS_ALL }];
}

/** `list` without what has the same key as one of `more`, of which the last with a key counts, then `more`. */
function replacing<T>(list: readonly T[], more: readonly T[], keyOf: (item: T) => string): readonly T[] {
  const byKey = new Map(more.map((item) => [keyOf(item), item] as const));
  return [...list.filter((item) => !byKey.has(keyOf(item))), ...byKey.values()];
}

/** In place, as the first of a name counts for many programs. */
function withEnv(env: readonly string[], more: readonly string[]): readonly string[] {
  const nameOf = (variable: string): string => variable.split("=", 1)[0] ?? "";
  return [...new Map([...env, ...more].map((variable) => [nameOf(variable), variable])).values()];
}

function ociMount({ hostPath, containerPath, options, type }: CdiMount): OciMount {
  const isBind = type === "" && options.some((option) => option === "bind" || option === "rbind");
  const ociType = isBind ? "bind" : type;
  return { destination: containerPath, source: hostPath, options, ...(ociType !== "" && { type: ociType }) };
}

const depth = ({ destination }: OciMount): number => destination.split("/").filter((part) => part !== "" && part !== ".").length;

function withMounts(mounts: readonly OciMount[], more: readonly CdiMount[]): readonly OciMount[] {
  if (more.length === 0) return mounts;
  return replacing(mounts, more.map(ociMount), ({ destination }) => destination).toSorted((a, b) => depth(a) - depth(b));
}

/** Of hooks that name no variables: with docker they have those of the runtime, which here has none. */
const HOOK_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function ociHook({ path, args, env, timeout }: CdiHook): OciHook {
  const variables = env.length > 0 ? env : [HOOK_PATH];
  return { path, ...(args.length > 0 && { args }), env: variables, ...(timeout !== undefined && { timeout }) };
}

function withHooks(hooks: OciHooks, more: readonly CdiHook[]): OciHooks {
  const lists = HOOK_NAMES.map((name) => {
    const added = more.filter(({ hookName }) => hookName === name).map(ociHook);
    return [name, [...(hooks[name] ?? []), ...added]] as const;
  });
  return Object.fromEntries(lists.filter(([, list]) => list.length > 0));
}

function ociIntelRdt({ closID, l3CacheSchema, memBwSchema, schemata, enableMonitoring }: CdiIntelRdt): OciIntelRdt {
  return {
    ...(closID !== "" && { closID }),
    ...(l3CacheSchema !== "" && { l3CacheSchema }),
    ...(memBwSchema !== "" && { memBwSchema }),
    ...(schemata.length > 0 && { schemata }),
    ...(enableMonitoring && { enableMonitoring }),
  };
}

function withGroups(user: OciUser, more: readonly number[]): OciUser {
  const gids = new Set([...(user.additionalGids ?? []), ...more.filter((gid) => gid !== 0)]);
  return gids.size === 0 ? user : { ...user, additionalGids: [...gids] };
}

/**
 * Changes a container's configuration as devices want it. A mount, a device or a variable that is there already is replaced. Looks at the
 * host's device files.
 * @throws invalid in docker's words when a device's file isn't there
 */
export function applyEdits(spec: OciSpec, edits: ContainerEdits): OciSpec {
  const { process, linux } = spec;
  const nodes = ociDevices(edits.deviceNodes, process.user);
  const devices = replacing(
    linux.devices ?? [],
    nodes.map(({ device }) => device),
    ({ path }) => path,
  );
  const rules = nodes.flatMap(({ device, permissions }) => ruleFor(device, permissions));
  const netDevices = edits.netDevices.map(({ hostInterfaceName, name }) => [hostInterfaceName, { name }] as const);
  return {
    ...spec,
    process: { ...process, env: withEnv(process.env, edits.env), user: withGroups(process.user, edits.additionalGids) },
    mounts: withMounts(spec.mounts, edits.mounts),
    ...(edits.hooks.length > 0 && { hooks: withHooks(spec.hooks ?? {}, edits.hooks) }),
    linux: {
      ...linux,
      ...(devices.length > 0 && { devices }),
      resources: { ...linux.resources, devices: [...(linux.resources.devices ?? []), ...rules] },
      ...(netDevices.length > 0 && { netDevices: { ...linux.netDevices, ...Object.fromEntries(netDevices) } }),
      ...(edits.intelRdt !== undefined && { intelRdt: ociIntelRdt(edits.intelRdt) }),
    },
  };
}
