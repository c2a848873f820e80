import { isErrno, readlinkat, S_IFLNK, S_IFMT, S_IFREG } from "../../linux/mod.ts";
import { type Difference, type Found, isDirectory } from "../../snapshots/mod.ts";

const MTAB_TARGET = "/proc/mounts";

/** Whether a file is as the engine or the runtime makes it. */
type IsGenerated = (file: Found) => boolean;

const isEmptyFile: IsGenerated = ({ stat }) => (stat.mode & S_IFMT) === S_IFREG && stat.size === 0;
const isPlainDirectory: IsGenerated = ({ stat }) => isDirectory(stat) && (stat.mode & 0o6777) === 0o755 && stat.uid === 0 && stat.gid === 0;
const isMtab: IsGenerated = ({ dirfd, raw, stat }) => {
  if ((stat.mode & S_IFMT) !== S_IFLNK) return false;
  try {
    return readlinkat(dirfd, raw).toString() === MTAB_TARGET;
  } catch (error) {
    // it is gone, or something else by now
    if (isErrno(error, "ENOENT", "EINVAL")) return false;
    throw error;
  }
};

/**
 * What docker has in a layer of its own below each container's, and dhow in the container's: the marks of a container, and the places of
 * what is mounted in every one.
 */
const GENERATED: ReadonlyMap<string, IsGenerated> = new Map([
  [".dockerenv", isEmptyFile],
  ["dev", isPlainDirectory],
  ["dev/console", isEmptyFile],
  ["dev/pts", isPlainDirectory],
  ["dev/shm", isPlainDirectory],
  ["etc", isPlainDirectory],
  ["etc/hostname", isEmptyFile],
  ["etc/hosts", isEmptyFile],
  ["etc/mtab", isMtab],
  ["etc/resolv.conf", isEmptyFile],
  ["proc", isPlainDirectory],
  ["sys", isPlainDirectory],
]);

/** What docker takes for the container's own doing: what was generated is left out, or changed when it is no longer as it was made. */
function asOwn(difference: Difference): Difference | undefined {
  const isGenerated = difference.kind === "added" ? GENERATED.get(difference.path) : undefined;
  if (difference.kind !== "added" || isGenerated === undefined) return difference;
  if (!isGenerated(difference.file)) return { ...difference, kind: "modified" };
  return isDirectory(difference.file.stat) ? { ...difference, kind: "same", isTouched: false } : undefined;
}

/**
 * The differences that count, by `isChange`, each after the directories that hold it, which come as they are; other directories and what
 * the engine itself has made are left out.
 */
export async function* ownDifferences(
  differences: AsyncIterable<Difference>,
  isChange: (difference: Difference) => boolean,
): AsyncGenerator<Difference, void, void> {
  let above: Difference[] = [];
  for await (const difference of differences) {
    const own = asOwn(difference);
    if (own === undefined) continue;
    above = above.filter(({ path }) => own.path.startsWith(`${path}/`));
    if (isChange(own)) {
      yield* above.splice(0);
      yield own;
    } else if (own.kind !== "deleted" && isDirectory(own.file.stat)) above.push(own);
  }
}
