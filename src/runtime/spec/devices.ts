import { readdirSync } from "node:fs";
import { DhowError, errorMessage } from "../../lib/mod.ts";
import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  type FileStat,
  major,
  minor,
  S_IFBLK,
  S_IFCHR,
  S_IFDIR,
  S_IFIFO,
  S_IFLNK,
  S_IFMT,
  strerror,
  tryStatx,
} from "../../linux/mod.ts";
import type { DeviceMapping } from "../../spec/engine/mod.ts";
import type { OciDevice, OciDeviceRule } from "../../spec/oci-runtime/mod.ts";

/** Device files and the cgroup rules that open them. */
export interface DeviceSet {
  readonly devices: readonly OciDevice[];
  readonly rules: readonly OciDeviceRule[];
}

const ACCESS_ALL = "rwm";
const rule = (allow: boolean): OciDeviceRule => ({ allow, access: ACCESS_ALL });

/**
 * What a container gets that asks for nothing: no device but those that every OCI runtime opens by itself
 * (null, zero, full, random, urandom, tty, console, pts). Docker lists some of them again; each rule costs a write.
 */
export const DEFAULT_DEVICE_RULES: readonly OciDeviceRule[] = [rule(false)];

const TYPES: Readonly<Record<number, string>> = { [S_IFBLK]: "b", [S_IFCHR]: "c", [S_IFIFO]: "p" };

function deviceOf(stat: FileStat, path: string): OciDevice | undefined {
  const type = TYPES[stat.mode & S_IFMT];
  if (type === undefined) return undefined;
  return { path, type, major: major(stat.rdev), minor: minor(stat.rdev), fileMode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid };
}

function ruleFor(device: OciDevice, access: string): OciDeviceRule {
  return { allow: true, type: device.type, major: device.major ?? 0, minor: device.minor ?? 0, access };
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

// Not followed: a link to a device would be made a second device file, and a link to a directory could loop.
function walk(host: string, container: string, found: OciDevice[], skip: ReadonlySet<string>): void {
  for (const name of entries(host)) {
    if (skip.has(name)) continue;
    const path = `${host}/${name}`;
    const stat = tryStatx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW);
    if (stat === undefined) continue;
    if ((stat.mode & S_IFMT) === S_IFDIR) walk(path, `${container}/${name}`, found, skip);
    else {
      const device = deviceOf(stat, `${container}/${name}`);
      if (device && device.type !== "p") found.push(device);
    }
  }
}

const NONE: ReadonlySet<string> = new Set();
/** Directories below /dev that hold no devices to hand on, and the console, which belongs to the container's own terminal. */
const HOST_SKIP: ReadonlySet<string> = new Set(["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "console"]);

/** Every device of the host's /dev, as a privileged container gets them. */
export function hostDevices(): OciDevice[] {
  const found: OciDevice[] = [];
  walk("/dev", "/dev", found, HOST_SKIP);
  return found;
}

function gatherFailed(path: string, reason: string): never {
  throw new DhowError("invalid", `error gathering device information while adding custom device ${JSON.stringify(path)}: ${reason}`);
}

function statHost(path: string): FileStat | undefined {
  try {
    return tryStatx(AT_FDCWD, path);
  } catch (error) {
    return gatherFailed(path, errorMessage(error));
  }
}

/** One `--device`: a device, a link to one, or a directory of devices. @throws invalid in docker's words when there is none */
export function mappedDevices(mapping: DeviceMapping, access = mapping.CgroupPermissions || ACCESS_ALL): DeviceSet {
  const host = mapping.PathOnHost ?? "";
  const container = mapping.PathInContainer || host;
  const stat = statHost(host);
  if (stat === undefined) return gatherFailed(host, strerror(2));
  const device = deviceOf(stat, container);
  if (device) return { devices: [device], rules: [ruleFor(device, access)] };
  const found: OciDevice[] = [];
  if ((stat.mode & S_IFMT) === S_IFDIR) walk(host, container, found, NONE);
  if (found.length === 0) return gatherFailed(host, (stat.mode & S_IFMT) === S_IFLNK ? "too many links" : "not a device node");
  return { devices: found, rules: found.map((d) => ruleFor(d, access)) };
}

const RULE = /^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$/;

/** One `--device-cgroup-rule`, `c 10:200 rwm`. @throws invalid in docker's words */
export function parseDeviceRule(text: string): OciDeviceRule {
  const match = RULE.exec(text);
  if (!match) throw new DhowError("invalid", `invalid device cgroup rule format: '${text}'`);
  const [, type = "a", majorText, minorText, access = ACCESS_ALL] = match;
  // A wildcard is a number left out: crun 1.8 would write runc's -1 as it is.
  return {
    allow: true,
    type,
    ...(majorText === "*" ? {} : { major: Number(majorText) }),
    ...(minorText === "*" ? {} : { minor: Number(minorText) }),
    access,
  };
}

export interface DeviceRequestInput {
  readonly privileged?: boolean | undefined;
  readonly mappings?: readonly DeviceMapping[] | null | undefined;
  readonly cgroupRules?: readonly string[] | null | undefined;
}

/** The devices and device rules of a container. @throws invalid */
export function containerDevices(request: DeviceRequestInput): DeviceSet {
  const mappings = request.mappings ?? [];
  if (request.privileged) {
    const extra = mappings.filter((m) => m.PathInContainer && m.PathInContainer !== m.PathOnHost);
    return { devices: [...hostDevices(), ...extra.flatMap((m) => mappedDevices(m, ACCESS_ALL).devices)], rules: [rule(true)] };
  }
  if (mappings.length === 0 && !request.cgroupRules?.length) return { devices: [], rules: DEFAULT_DEVICE_RULES };
  const sets = mappings.map((m) => mappedDevices(m));
  return {
    devices: sets.flatMap((s) => s.devices),
    rules: [...DEFAULT_DEVICE_RULES, ...sets.flatMap((s) => s.rules), ...(request.cgroupRules ?? []).map(parseDeviceRule)],
  };
}
