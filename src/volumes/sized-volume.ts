import { closeSync, ftruncateSync, openSync, readFileSync, rmdirSync, statSync, truncateSync } from "node:fs";
import { DhowError, errnoCode, parseBytes } from "../lib/mod.ts";
import { readMountInfo } from "../linux/mod.ts";

/** The least that an ext4 file system of some use needs. */
const MIN_BYTES = 2 * 1024 * 1024;
/** The exit code of e2fsck that says that it has mended what there was. */
const MENDED = 1;

const CAP_SYS_RESOURCE = 1n << 24n;

type StringMap = Readonly<Record<string, string>>;

/** Whether a volume is a file system of its own, in a file: `size` is its only limit. */
export function isSized(options: StringMap | null): boolean {
  const size = options?.["size"];
  return size !== undefined && size !== "0" && !options?.["device"] && !options?.["type"];
}

/** What a volume's size option says, in bytes. @throws invalid */
export function parseVolumeSize(text: string): number {
  const bytes = parseBytes(text);
  if (bytes === undefined || !/^\d/.test(text)) throw new DhowError("invalid", `invalid size: '${text}'`);
  if (bytes < MIN_BYTES) throw new DhowError("invalid", `invalid size: '${text}': a volume has 2m at least`);
  // whole blocks of any block size
  return Math.ceil(bytes / 4096) * 4096;
}

interface RunOptions {
  /** Locked as long as the tool runs: it outlives a daemon that is killed, and the next one's must not come in between. See flock(1). */
  readonly lock?: string;
  readonly isFine?: (code: number) => boolean;
}

/** Runs one of the tools of ext4. @throws internal with what it says, unsupported when it is missing */
async function run(command: readonly string[], { lock, isFine = (code) => code === 0 }: RunOptions = {}): Promise<void> {
  const [name = ""] = command;
  if (Bun.which(name, { PATH: TOOLS_PATH }) === null) {
    throw new DhowError("unsupported", `volumes with a size need ${name}: it is not installed`);
  }
  const held = lock === undefined ? command : ["flock", lock, ...command];
  const child = Bun.spawn([...held], { stdin: "ignore", stdout: "ignore", stderr: "pipe", env: { PATH: TOOLS_PATH, LC_ALL: "C" } });
  const [text, code] = await Promise.all([child.stderr.text(), child.exited]);
  const said = text.split("\n").filter((line) => line.trim() !== "" && !/^(?:e2fsck|mke2fs|resize2fs) \d/.test(line));
  if (!isFine(code)) throw new DhowError("internal", `${name}: ${said.join(" ").trim() || `exit code ${code}`}`);
}

const TOOLS_PATH = "/usr/sbin:/usr/bin:/sbin:/bin";

/** Makes the file with an empty file system in it; it takes room on the disk as it fills. @throws internal, unsupported */
export async function makeSized(file: string, sizeBytes: number): Promise<void> {
  const fd = openSync(file, "wx", 0o600);
  try {
    ftruncateSync(fd, sizeBytes);
  } finally {
    closeSync(fd);
  }
  await run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "root_owner=0:0", file]);
}

/** Mounts it; the loop device goes with the mount. @throws internal */
export async function mountSized(file: string, path: string): Promise<void> {
  await run(["mount", "-t", "ext4", "-o", "loop", file, path]);
  try {
    // a volume is empty at first: so that an image's content is copied to it
    rmdirSync(`${path}/lost+found`);
  } catch (error) {
    if (!["ENOENT", "ENOTEMPTY"].includes(errnoCode(error) ?? "")) throw error;
  }
}

/** @see capabilities(7) CAP_SYS_RESOURCE, which ext4 asks for */
function canGrowMounted(): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  return (BigInt(`0x${effective}`) & CAP_SYS_RESOURCE) !== 0n;
}

/**
 * Gives the file system another size: a larger one also while it is mounted at `path`. What a crash leaves in between is a whole file system in
 * a file that is too large. @throws conflict when it is mounted and would become smaller, internal when its content doesn't fit
 */
export async function resizeSized(file: string, sizeBytes: number, path: string | undefined): Promise<void> {
  const grows = sizeBytes >= statSync(file).size;
  if (path !== undefined) {
    if (!grows) throw new DhowError("conflict", "it can't be made smaller while it is in use");
    if (!canGrowMounted())
      throw new DhowError("conflict", "growing it while it is in use needs CAP_SYS_RESOURCE, which the daemon hasn't got");
    const device = readMountInfo().find(({ mountPoint }) => mountPoint === path)?.source ?? "";
    truncateSync(file, sizeBytes);
    await run(["losetup", "-c", device]);
    return run(["resize2fs", device], { lock: file });
  }
  if (grows) truncateSync(file, sizeBytes);
  await run(["e2fsck", "-f", "-p", file], { lock: file, isFine: (code) => code <= MENDED });
  await run(["resize2fs", file, `${sizeBytes / 1024}K`], { lock: file });
  if (!grows) truncateSync(file, sizeBytes);
}
