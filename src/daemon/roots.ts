/** The daemon's two directories: locked against a second daemon, rid of what a former one left unfinished. */
import { chmodSync, mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DhowError, errnoCode } from "../lib/mod.ts";
import { type Fd, flock, LOCK_EX, MNT_DETACH, O_CLOEXEC, O_CREAT, O_RDWR, open, readMountInfo, umount } from "../linux/mod.ts";
import { spreadDirectories } from "../snapshots/mod.ts";

const LOCK_FILE = "lock";
const LOCK_POLL_MS = 20;
const LOCK_WAIT_MS = 5000;

/** Makes what is missing in the roots; empties what is of no use after the last daemon's end. */
export function prepareRoots(dataRoot: string, execRoot: string): void {
  forgetLastBoot(execRoot);
  for (const dir of ["content", "snapshots", "containers", "volumes", "tmp"])
    mkdirSync(join(dataRoot, dir), { recursive: true, mode: 0o710 });
  clearTemporary(join(dataRoot, "tmp"));
  for (const dir of ["bundles", "execs", "crun"]) mkdirSync(join(execRoot, dir), { recursive: true, mode: 0o700 });
  // hooks in a user namespace pass to their bundle
  chmodSync(join(execRoot, "bundles"), 0o711);
  for (const dir of [join(dataRoot, "containers"), ...["bundles", "execs", "crun"].map((name) => join(execRoot, name))])
    spreadDirectories(dir);
}

/** Two daemons on one root would destroy each other's work. @throws conflict */
export async function lockRoot(root: string, flag: string): Promise<Fd> {
  const fd = open(join(root, LOCK_FILE), O_RDWR | O_CREAT | O_CLOEXEC, 0o600);
  // a process that a killed daemon was just about to start holds the lock until it has begun
  for (let waitedMs = 0; waitedMs < LOCK_WAIT_MS; waitedMs += LOCK_POLL_MS) {
    if (flock(fd.fd, LOCK_EX)) return fd;
    await Bun.sleep(LOCK_POLL_MS);
  }
  fd.close();
  throw new DhowError("conflict", `lock ${root}: another daemon uses it; give this one a ${flag} of its own`);
}

/** Where a kernel restart leaves an exec root on a disk, its content is worthless: pids and mounts in it are of the last boot. */
function forgetLastBoot(execRoot: string): void {
  const file = join(execRoot, "boot-id");
  const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  let last = "";
  try {
    last = readFileSync(file, "utf8").trim();
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  if (last === boot) return;
  // an empty one is no other boot's: a daemon was killed while it wrote, and its containers run
  if (last !== "")
    for (const name of readdirSync(execRoot)) if (name !== LOCK_FILE) rmSync(join(execRoot, name), { recursive: true, force: true });
  writeFileSync(`${file}.new`, boot);
  renameSync(`${file}.new`, file);
}

/** Empties the directory of temporary files, after ending the tools that a killed daemon left working there. */
function clearTemporary(dir: string): void {
  const names = readdirSync(dir);
  if (names.length === 0) return;
  for (const pid of readdirSync("/proc").map(Number)) {
    if (!(pid > 1) || pid === process.pid) continue;
    try {
      const places = ["cwd", "root"].map((link) => readlinkSync(`/proc/${pid}/${link}`));
      const texts = [readFileSync(`/proc/${pid}/cmdline`, "utf8"), ...places];
      if (names.some((name) => texts.some((text) => text.includes(join(dir, name))))) process.kill(pid, "SIGKILL");
    } catch {
      // it has ended
    }
  }
  for (const { mountPoint } of readMountInfo().reverse()) if (mountPoint.startsWith(`${dir}/`)) umount(mountPoint, MNT_DETACH);
  for (const name of names) rmSync(join(dir, name), { recursive: true, force: true });
}

/** A process that an earlier daemon left for a running container: it is in that daemon's mount namespace. */
export function findHolder(execRoot: string): number | undefined {
  const bundles = join(execRoot, "bundles");
  let names: string[] = [];
  try {
    names = readdirSync(bundles);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  for (const name of names) {
    try {
      const bundle = join(bundles, name);
      const pid = Number(readFileSync(join(bundle, "holder"), "utf8"));
      // a number that was given again may be the holder of another daemon's container
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      if (words.includes("dhow-holder") && words.includes(bundle)) return pid;
    } catch {
      // its container has ended
    }
  }
  return undefined;
}
