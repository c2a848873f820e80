import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { DhowError, errorMessage } from "../lib/mod.ts";
import * as linux from "../linux/mod.ts";
import { callMount, callMountAside, type MountCall, mountError } from "./mount-helper.ts";
import { isSized, parseVolumeSize } from "./sized-volume.ts";

/** What `docker volume create` names when it names no driver. */
export const LOCAL_DRIVER = "local";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const KNOWN_OPTIONS: ReadonlySet<string> = new Set(["type", "o", "device", "size"]);
const REQUIRED: Readonly<Record<string, readonly string[]>> = { device: ["type"], type: ["device"], o: ["device", "type"] };

function refuse(message: string): never {
  throw new DhowError("invalid", message);
}

/** Checks a volume's name. @throws invalid in docker's words */
export function validateVolumeName(name: string): void {
  if (name.length === 1) refuse("volume name is too short, names should be at least two alphanumeric characters");
  if (!NAME.test(name) || Buffer.byteLength(name) > 255) {
    refuse(
      `${JSON.stringify(name)} includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. ` +
        "If you intended to pass a host directory, use absolute path",
    );
  }
}

/** Checks the local driver's options. @throws invalid in docker's words */
export function validateLocalOptions(options: Readonly<Record<string, string>>): void {
  for (const key of Object.keys(options)) {
    if (!KNOWN_OPTIONS.has(key)) refuse(`invalid option: ${JSON.stringify(key)}`);
  }
  const { size } = options;
  if (size !== undefined && size !== "0") {
    if (!isSized(options)) refuse("quota size requested but no quota support");
    parseVolumeSize(size);
  }
  for (const [key, required] of Object.entries(REQUIRED)) {
    if (options[key] === undefined) continue;
    for (const other of required) {
      if (options[other] === undefined) refuse(`missing required option: ${JSON.stringify(other)}`);
    }
  }
}

const FLAGS: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  defaults: [0, 0],
  ro: [linux.MS_RDONLY, 0],
  rw: [0, linux.MS_RDONLY],
  suid: [0, linux.MS_NOSUID],
  nosuid: [linux.MS_NOSUID, 0],
  dev: [0, linux.MS_NODEV],
  nodev: [linux.MS_NODEV, 0],
  exec: [0, linux.MS_NOEXEC],
  noexec: [linux.MS_NOEXEC, 0],
  sync: [linux.MS_SYNCHRONOUS, 0],
  async: [0, linux.MS_SYNCHRONOUS],
  dirsync: [linux.MS_DIRSYNC, 0],
  remount: [linux.MS_REMOUNT, 0],
  mand: [linux.MS_MANDLOCK, 0],
  nomand: [0, linux.MS_MANDLOCK],
  atime: [0, linux.MS_NOATIME],
  noatime: [linux.MS_NOATIME, 0],
  diratime: [0, linux.MS_NODIRATIME],
  nodiratime: [linux.MS_NODIRATIME, 0],
  bind: [linux.MS_BIND, 0],
  rbind: [linux.MS_BIND | linux.MS_REC, 0],
  relatime: [linux.MS_RELATIME, 0],
  norelatime: [0, linux.MS_RELATIME],
  strictatime: [linux.MS_STRICTATIME, 0],
  nostrictatime: [0, linux.MS_STRICTATIME],
};

const PROPAGATION: Readonly<Record<string, number>> = {
  private: linux.MS_PRIVATE,
  rprivate: linux.MS_PRIVATE | linux.MS_REC,
  shared: linux.MS_SHARED,
  rshared: linux.MS_SHARED | linux.MS_REC,
  slave: linux.MS_SLAVE,
  rslave: linux.MS_SLAVE | linux.MS_REC,
  unbindable: linux.MS_UNBINDABLE,
  runbindable: linux.MS_UNBINDABLE | linux.MS_REC,
};

interface MountOptions {
  readonly flags: number;
  readonly propagation: readonly number[];
  readonly data: string;
}

function parseOptions(text: string): MountOptions {
  let flags = 0;
  const data: string[] = [];
  const propagation: number[] = [];
  // two commas stand for one in a password: what is empty stays
  for (const option of text.split(",")) {
    const flag = FLAGS[option];
    const mode = PROPAGATION[option];
    if (flag) flags = (flags & ~flag[1]) | flag[0];
    else if (mode !== undefined) propagation.push(mode);
    else data.push(option);
  }
  return { flags, propagation, data: data.join(",") };
}

type Options = Readonly<Record<string, string>>;

/** Whether a volume with these options has to be mounted before use. */
export const needsMount = (options: Options | null): boolean => Boolean(options?.["device"] || options?.["type"]) || isSized(options);

/** Whether mounting may wait for somebody else, a server mostly; of a bind, where the host has a file system that asks one. */
export function isMountedAside(options: Options | null): boolean {
  if (!needsMount(options) || options?.["type"] === "tmpfs") return false;
  return (parseOptions(options?.["o"] ?? "").flags & linux.MS_BIND) === 0 || linux.askingMountPoints().length > 0;
}

/** Whether the volume's files are somewhere else than in the data root: where its options or its plug-in say. */
export function isElsewhere(volume: { readonly driver: string; readonly options: Options | null } | undefined): boolean {
  return volume !== undefined && (volume.driver !== LOCAL_DRIVER || (needsMount(volume.options) && !isSized(volume.options)));
}

const failed = (cause: unknown, message: string): DhowError =>
  new DhowError("internal", `failed to mount local volume: ${message}`, { cause });

/** The call that mounts what a volume's options name at `target`. */
function mountCall(options: Readonly<Record<string, string>>, target: string): MountCall & { readonly kind: "mount" } {
  const { device = "", type = "", o = "" } = options;
  if (device === "") throw new DhowError("internal", "missing device in volume options");
  return { kind: "mount", source: device, target, type, ...parseOptions(o) };
}

/** `password=` and `pass=` of CIFS, in which two commas stand for one. @see mount.cifs(8) */
const PASSWORD = /(?<=^|,)(pass(?:word)?2?)=(?:[^,]|,,)*/g;

/** A password is in no error, and so in no log. */
function described({ source, target, flags, data }: MountCall & { readonly kind: "mount" }): string {
  const shown = data === "" ? "" : `, data: ${data.replace(PASSWORD, "$1=********")}`;
  return `mount ${source}:${target}${flags === 0 ? "" : `, flags: 0x${flags.toString(16)}`}${shown}`;
}

/** Mounts what a volume's options name at `target`. @throws internal in docker's words; a password in the options is hidden */
export function mountLocal(options: Readonly<Record<string, string>>, target: string): void {
  const call = mountCall(options, target);
  try {
    callMount(call);
  } catch (cause) {
    throw failed(cause, `${described(call)}: ${mountError(cause)}`);
  }
}

/** The same where that may take its time, with the names of NFS and CIFS servers looked up, which the kernel can't. @throws internal in docker's words */
export async function mountLocalAside(
  options: Readonly<Record<string, string>>,
  target: string,
  signal?: AbortSignal | undefined,
): Promise<void> {
  const call = mountCall(await withAddresses(options), target);
  try {
    await callMountAside(call, { signal });
  } catch (cause) {
    signal?.throwIfAborted();
    throw failed(cause, `${described(call)}: ${errorMessage(cause)}`);
  }
}

/** `addr=NAME` and the host of a CIFS device as addresses, as docker does it. @throws internal */
async function withAddresses(options: Readonly<Record<string, string>>): Promise<Readonly<Record<string, string>>> {
  const { device = "", type = "", o = "" } = options;
  if (!["nfs", "nfs4", "cifs"].includes(type)) return options;
  const named = /(?:^|,)addr=([^,]+)/.exec(o)?.[1];
  const resolved = named === undefined ? o : o.replace(`addr=${named}`, `addr=${await addressOf(named)}`);
  const host = type === "cifs" ? /^\/\/([^/]+)\//.exec(device)?.[1] : undefined;
  const at = host === undefined ? device : device.replace(`//${host}/`, `//${await addressOf(host)}/`);
  return { ...options, o: resolved, device: at };
}

async function addressOf(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    const reason = `lookup ${host}: no such host`;
    throw new DhowError("internal", `error resolving passed in network volume address: ${reason}`, { cause });
  }
}
