import { existsSync } from "node:fs";
import { posix } from "node:path";
import { DhowError } from "../lib/mod.ts";
import type { HostConfig, Mount } from "../spec/engine/mod.ts";
import { parseIdMapping } from "./idmap.ts";
import { tmpfsMountData, tmpfsOptions } from "./tmpfs-options.ts";

/** One mount as it was asked for, checked. */
export interface MountSpec {
  readonly kind: "bind" | "volume" | "tmpfs" | "image";
  /** Clean absolute path in the container. */
  readonly destination: string;
  /** Host path of a bind, name of a volume (empty = anonymous), reference of an image, empty for tmpfs. */
  readonly source: string;
  readonly isReadOnly: boolean;
  /** The option text of a `-v`, as inspect shows it. */
  readonly mode: string;
  readonly propagation: string;
  readonly driver: string;
  readonly driverOptions?: Readonly<Record<string, string>> | null;
  readonly labels?: Readonly<Record<string, string>> | null;
  readonly noCopy: boolean;
  readonly subpath: string;
  /** Whether a missing bind source becomes a directory. */
  readonly createSource: boolean;
  readonly isNonRecursive: boolean;
  readonly isReadOnlyNonRecursive: boolean;
  readonly isReadOnlyForceRecursive: boolean;
  /** The option text of a tmpfs. */
  readonly tmpfs: string;
  /** The text of a bind's `idmap` option. */
  readonly idmap?: string;
}

const PROPAGATIONS: ReadonlySet<string> = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);
const MODE_GROUPS: readonly ReadonlySet<string>[] = [
  new Set(["rw", "ro"]),
  new Set(["z", "Z"]),
  PROPAGATIONS,
  new Set(["nocopy"]),
  new Set(["consistent", "cached", "delegated"]),
  new Set(["idmap"]),
];
const DEFAULT_PROPAGATION = "rprivate";

function refuse(message: string): never {
  throw new DhowError("invalid", message);
}

/** A path without `.`, `..`, doubled and trailing slashes, as Go's path.Clean has it. */
export function cleanPath(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 ? clean.replace(/\/$/, "") : clean;
}

function isValidMode(mode: string): boolean {
  if (mode === "") return true;
  const counts = MODE_GROUPS.map(() => 0);
  for (const option of mode.split(",")) {
    const group = MODE_GROUPS.findIndex((names) => names.has(option.startsWith("idmap=") ? "idmap" : option));
    if (group < 0) return false;
    counts[group] = (counts[group] ?? 0) + 1;
  }
  return counts.every((n) => n <= 1);
}

/** The value of the option `idmap`, which docker doesn't have; undefined without it. */
function idmapOf(mode: string): string | undefined {
  const option = mode.split(",").find((text) => text === "idmap" || text.startsWith("idmap="));
  return option?.slice("idmap=".length);
}

const has = (mode: string, option: string): boolean => mode.split(",").includes(option);

function checkTarget(target: string): void {
  const path = target.replaceAll("\\", "/");
  if (cleanPath(path) === "/") refuse("invalid specification: destination can't be '/'");
  // a backslash at its begin is a slash to docker's check and part of the name to the kernel
  if (!path.startsWith("/") || !target.startsWith("/")) refuse(`invalid mount path: '${target}' mount path must be absolute`);
}

/** Checks a key of HostConfig.Tmpfs. @throws invalid */
export function validateTmpfsDestination(destination: string): void {
  checkTarget(destination);
}

function isLocalSubpath(path: string): boolean {
  const clean = cleanPath(path);
  return !path.startsWith("/") && clean !== ".." && !clean.startsWith("../") && !path.includes("\0");
}

function checkBind(mount: Mount, mustExist: boolean): void {
  const source = mount.Source ?? "";
  if (source === "") refuse("field Source must not be empty");
  const propagation = mount.BindOptions?.Propagation ?? "";
  if (propagation !== "" && !PROPAGATIONS.has(propagation)) refuse(`invalid propagation mode: ${propagation}`);
  if (mount.VolumeOptions) refuse("field VolumeOptions must not be specified");
  if (mount.ImageOptions) refuse("field ImageOptions must not be specified");
  if (!source.startsWith("/")) refuse(`invalid mount path: '${source}' mount path must be absolute`);
  if (mustExist && !mount.BindOptions?.CreateMountpoint && !existsSync(source)) refuse(`bind source path does not exist: ${source}`);
}

function checkVolume(mount: Mount): void {
  if (mount.BindOptions) refuse("field BindOptions must not be specified");
  if (mount.ImageOptions) refuse("field ImageOptions must not be specified");
  const isAnonymous = !mount.Source;
  const subpath = mount.VolumeOptions?.Subpath ?? "";
  if (subpath !== "") {
    if (isAnonymous) refuse("must not set Subpath when using anonymous volumes");
    if (!isLocalSubpath(subpath)) refuse("subpath must be a relative path within the volume");
  }
  if (mount.ReadOnly && isAnonymous) refuse("must not set ReadOnly mode when using anonymous volumes");
}

function checkTmpfs(mount: Mount): void {
  if (mount.BindOptions) refuse("field BindOptions must not be specified");
  if (mount.ImageOptions) refuse("field ImageOptions must not be specified");
  if (mount.Source) refuse("field Source must not be specified");
  tmpfsMountData(mount.TmpfsOptions, mount.ReadOnly ?? false);
}

function checkImage(mount: Mount): void {
  if (mount.BindOptions) refuse("field BindOptions must not be specified");
  if (mount.VolumeOptions) refuse("field VolumeOptions must not be specified");
  if (!mount.Source) refuse("field Source must not be empty");
  const subpath = mount.ImageOptions?.Subpath ?? "";
  if (subpath !== "" && !isLocalSubpath(subpath)) refuse("subpath must be a relative path within the volume");
}

function checkByType(mount: Mount, mustExist: boolean): void {
  if (!mount.Target) refuse("field Target must not be empty");
  checkTarget(mount.Target);
  if (mount.Type === "bind") checkBind(mount, mustExist);
  else if (mount.Type === "volume") checkVolume(mount);
  else if (mount.Type === "tmpfs") checkTmpfs(mount);
  else if (mount.Type === "image") checkImage(mount);
  else refuse("mount type unknown");
}

/** Checks one entry of HostConfig.Mounts. @throws invalid `invalid mount config for type "bind": …` */
export function validateMount(mount: Mount, mustExist = true): void {
  try {
    checkByType(mount, mustExist);
  } catch (error) {
    if (!(error instanceof DhowError)) throw error;
    throw new DhowError("invalid", `invalid mount config for type ${JSON.stringify(mount.Type ?? "")}: ${error.message}`, { cause: error });
  }
}

function fromMount(mount: Mount, mode: string, createSource: boolean): MountSpec {
  const kind = mount.Type === "bind" || mount.Type === "tmpfs" || mount.Type === "image" ? mount.Type : "volume";
  const source = mount.Source ?? "";
  return {
    kind,
    destination: cleanPath(mount.Target ?? ""),
    source: kind === "bind" ? cleanPath(source) : source,
    isReadOnly: kind === "image" || (mount.ReadOnly ?? false),
    mode,
    propagation: kind === "bind" ? mount.BindOptions?.Propagation || DEFAULT_PROPAGATION : "",
    driver: mount.VolumeOptions?.DriverConfig?.Name ?? "",
    driverOptions: mount.VolumeOptions?.DriverConfig?.Options ?? null,
    labels: mount.VolumeOptions?.Labels ?? null,
    noCopy: mount.VolumeOptions?.NoCopy ?? false,
    subpath: (kind === "image" ? mount.ImageOptions?.Subpath : mount.VolumeOptions?.Subpath) ?? "",
    createSource,
    isNonRecursive: mount.BindOptions?.NonRecursive ?? false,
    isReadOnlyNonRecursive: mount.BindOptions?.ReadOnlyNonRecursive ?? false,
    isReadOnlyForceRecursive: mount.BindOptions?.ReadOnlyForceRecursive ?? false,
    tmpfs: kind === "tmpfs" ? tmpfsMountData(mount.TmpfsOptions, mount.ReadOnly ?? false) : "",
  };
}

/** Reads an entry of HostConfig.Mounts. @throws invalid in docker's words */
export function parseMount(mount: Mount): MountSpec {
  validateMount(mount);
  const options = mount.BindOptions;
  if (options?.ReadOnlyNonRecursive && !mount.ReadOnly) refuse("mount options conflict: !ReadOnly && BindOptions.ReadOnlyNonRecursive");
  if (options?.ReadOnlyForceRecursive && !mount.ReadOnly) refuse("mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive");
  if (options?.ReadOnlyNonRecursive && options.ReadOnlyForceRecursive) {
    refuse("mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive");
  }
  return fromMount(mount, "", options?.CreateMountpoint ?? false);
}

function splitBind(text: string): { readonly source: string; readonly target: string; readonly mode: string } {
  const parts = text.split(":");
  const [first = "", second = "", third = ""] = parts;
  const isInvalid = first === "" || parts.length > 3 || (parts.length === 2 && isValidMode(second));
  if (isInvalid) refuse(`invalid volume specification: '${text}'`);
  return parts.length === 1 ? { source: "", target: first, mode: "" } : { source: first, target: second, mode: third };
}

/** Reads `source:destination[:mode]`, a `-v`. A missing source is fine: it becomes a directory. @throws invalid in docker's words */
export function parseBind(text: string, volumeDriver = ""): MountSpec {
  const { source, target, mode } = splitBind(text);
  if (!isValidMode(mode)) refuse(`invalid mode: ${mode}`);
  const isBind = source.startsWith("/");
  const propagation = mode.split(",").find((o) => PROPAGATIONS.has(o));
  const noCopy = has(mode, "nocopy");
  const driver = isBind ? "" : volumeDriver;
  const mount: Mount = {
    Type: isBind ? "bind" : "volume",
    Source: source,
    Target: target,
    ReadOnly: has(mode, "ro"),
    ...(noCopy || driver !== "" ? { VolumeOptions: { NoCopy: noCopy, DriverConfig: { Name: driver } } } : {}),
    ...(propagation === undefined ? {} : { BindOptions: { Propagation: propagation } }),
  };
  try {
    validateMount(mount, false);
  } catch (error) {
    if (!(error instanceof DhowError)) throw error;
    refuse(`invalid volume specification: '${text}': ${error.message}`);
  }
  const idmap = idmapOf(mode);
  if (idmap === undefined) return fromMount(mount, mode, true);
  if (!isBind) refuse(`invalid volume specification: '${text}': idmap is for bind mounts`);
  parseIdMapping(idmap);
  return { ...fromMount(mount, mode, true), idmap };
}

/** Reads `container[:mode]`, a `--volumes-from`. @throws invalid in docker's words */
export function parseVolumesFrom(text: string): { readonly container: string; readonly isReadOnly: boolean } {
  if (text === "") refuse("volumes-from specification cannot be an empty string");
  const at = text.indexOf(":");
  const container = at < 0 ? text : text.slice(0, at);
  const mode = at < 0 ? "" : text.slice(at + 1);
  const options = mode.split(",");
  if (!isValidMode(mode) || options.includes("nocopy") || options.some((o) => PROPAGATIONS.has(o))) refuse(`invalid mode: ${mode}`);
  return { container, isReadOnly: has(mode, "ro") };
}

/** Checks every mount of a host configuration without making anything. @throws invalid in docker's words */
export function validateMounts(config: HostConfig): void {
  for (const mount of config.Mounts ?? []) parseMount(mount);
  for (const [destination, data] of Object.entries(config.Tmpfs ?? {})) {
    validateTmpfsDestination(destination);
    tmpfsOptions(data);
  }
}
