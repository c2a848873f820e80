import { close, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoCode } from "../lib/mod.ts";
import {
  isErrno,
  MNT_DETACH,
  MOUNT_ATTR_RDONLY,
  type MountOption,
  MS_RDONLY,
  mount,
  mountWith,
  O_PATH,
  open,
  ST_RDONLY,
  SysError,
  statfs,
  umount,
} from "../linux/mod.ts";

/**
 * Layers must be self-contained, or their files can't be told from the parent's: no redirects, no metadata-only copies; and no
 * index, which would tie an upper directory to one mount.
 */
const OPTIONS = ["index=off", "redirect_dir=off", "metacopy=off"] as const;
const ENOSPC = 28;
const DATA_MAX = 4095;

export interface OverlayMount {
  readonly target: string;
  /** Directory that `lowers`, `upper` and `work` are relative to. */
  readonly root: string;
  /** Top first, at least one. */
  readonly lowers: readonly string[];
  /** Null for a read-only view. */
  readonly upper: { readonly upper: string; readonly work: string } | null;
  /** Leave out fsync and the sync at unmount. */
  readonly isVolatile?: boolean;
}

/**
 * Mounts an overlay of any number of layers: with mount(2) while the options fit into its page, else with one fsconfig(2) per
 * layer (Linux 6.5), else with relative paths from `root` (about 400 layers).
 * @throws {SysError} ENOSPC for a writable one when there is no room to prepare it
 */
export function mountOverlay(how: OverlayMount): void {
  attach(how);
  if (how.upper === null || (statfs(how.target).flags & ST_RDONLY) === 0) return;
  // the kernel makes a directory in the work directory; where it finds no room for it, it mounts all the same, but read-only
  unmountOverlay(how.target);
  throw new SysError("mount", ENOSPC, how.target);
}

function attach(how: OverlayMount): void {
  const flags = how.upper === null ? MS_RDONLY : 0;
  // a comma, colon or backslash in the root would need a quoting that differs between kernels
  if (/[,:\\]/.test(how.root)) {
    mountRelative(how, flags);
    return;
  }
  const data = dataOf(how, `${how.root}/`);
  if (data.length <= DATA_MAX) {
    mountOptional(data, (text) => mount("overlay", how.target, "overlay", flags, text));
    return;
  }
  try {
    mountWith("overlay", optionsOf(how), how.target, how.upper === null ? MOUNT_ATTR_RDONLY : 0);
  } catch (error) {
    if (!isErrno(error, "EINVAL", "ENOSYS", "EPERM")) throw error;
    mountRelative(how, flags);
  }
}

/** The working directory belongs to the whole process: it is changed and restored without an await in between. */
export function mountRelative(how: OverlayMount, flags: number): void {
  const before = process.cwd();
  process.chdir(how.root);
  try {
    mountOptional(dataOf(how, ""), (text) => mount("overlay", how.target, "overlay", flags, text));
  } finally {
    process.chdir(before);
  }
}

/** Old kernels don't know all of the options; what they don't know they don't do. */
function mountOptional(data: string, attempt: (data: string) => void): void {
  try {
    attempt(data);
  } catch (error) {
    if (!isErrno(error, "EINVAL")) throw error;
    attempt(data.replace(/,redirect_dir=off|,metacopy=off|,volatile/g, ""));
  }
}

function dataOf(how: OverlayMount, prefix: string): string {
  const parts = [`lowerdir=${how.lowers.map((lower) => prefix + lower).join(":")}`];
  if (how.upper) parts.push(`upperdir=${prefix}${how.upper.upper}`, `workdir=${prefix}${how.upper.work}`);
  parts.push(...OPTIONS);
  if (how.isVolatile) parts.push("volatile");
  return parts.join(",");
}

function optionsOf(how: OverlayMount): MountOption[] {
  const options: MountOption[] = how.lowers.map((lower) => ["lowerdir+", `${how.root}/${lower}`]);
  if (how.upper) options.push(["upperdir", `${how.root}/${how.upper.upper}`], ["workdir", `${how.root}/${how.upper.work}`]);
  for (const option of OPTIONS) {
    const [name, value] = option.split("=") as [string, string];
    options.push([name, value]);
  }
  if (how.isVolatile) options.push(["volatile", null]);
  return options;
}

/**
 * Takes an overlay mount away at once; nothing mounted there is fine. An overlay's end writes out the whole file system below it
 * (27 to 300 ms measured after 50 MB of writes): a descriptor keeps it until another thread closes that, so the wait is there.
 */
export function unmountOverlay(target: string): void {
  let holder: ReturnType<typeof open> | undefined;
  try {
    holder = open(target, O_PATH);
    umount(target, MNT_DETACH);
  } catch (error) {
    holder?.close();
    if (isErrno(error, "EINVAL", "ENOENT")) return;
    throw error;
  }
  close(holder.release(), () => {});
}

const CHECK = "overlay-check-";

/** Whether overlays work with their upper directory on `dir`'s file system: writable, and whiteouts can be made. */
export function isOverlaySupported(dir: string): boolean {
  // of a process that was killed while it looked
  for (const name of readdirSync(dir)) if (name.startsWith(CHECK)) endCheck(join(dir, name));
  const root = mkdtempSync(join(dir, CHECK));
  try {
    for (const name of ["lower", "upper", "work", "merged"]) mkdirSync(join(root, name));
    writeFileSync(join(root, "lower", "file"), "");
    mountOverlay({ target: join(root, "merged"), root, lowers: ["lower"], upper: { upper: "upper", work: "work" }, isVolatile: true });
    unlinkSync(join(root, "merged", "file"));
    return statSync(join(root, "upper", "file")).isCharacterDevice();
  } catch (error) {
    if (errnoCode(error) === undefined) throw error;
    return false;
  } finally {
    endCheck(root);
  }
}

function endCheck(root: string): void {
  unmountOverlay(join(root, "merged"));
  rmSync(root, { recursive: true, force: true });
}
