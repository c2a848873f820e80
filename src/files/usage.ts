import { breather } from "../lib/mod.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  type Fd,
  type FileStat,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  open,
  openat2,
  RESOLVE_BENEATH,
  RESOLVE_NO_MAGICLINKS,
  RESOLVE_NO_SYMLINKS,
  readDirents,
  S_IFDIR,
  S_IFMT,
  tryStatx,
} from "../linux/mod.ts";

const STRICT = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
/** A path that is handed to the kernel at once; a longer one is walked in pieces. PATH_MAX is 4096, a name at most 255. */
const PIECE_BYTES = 3000;

/** What a tree takes. */
export interface TreeUsage {
  /** Sizes of everything but directories, each inode once, as docker counts. */
  readonly sizeBytes: number;
  readonly inodes: number;
}

/** A directory below the root, in pieces that are short enough for the kernel; the root has none. */
type Path = readonly Buffer[];

function child(path: Path, name: Uint8Array): Path {
  const last = path.at(-1);
  if (last === undefined || last.length > PIECE_BYTES) return [...path, Buffer.from(name)];
  return [...path.slice(0, -1), Buffer.concat([last, Buffer.from("/"), name])];
}

/** Undefined when it is gone, or something else by now. */
function openDirectory(root: number, path: Path): Fd | undefined {
  const stack = new DisposableStack();
  try {
    let at = root;
    let last: Fd | undefined;
    for (const piece of path.length > 0 ? path : [Buffer.from(".")]) {
      if (last) stack.use(last);
      last = openat2(at, piece, { flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve: STRICT });
      at = last.fd;
    }
    return last;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EXDEV")) return undefined;
    throw error;
  } finally {
    stack.dispose();
  }
}

function isDirectory({ mode }: FileStat): boolean {
  return (mode & S_IFMT) === S_IFDIR;
}

/**
 * What the files below the directory `root` take. It goes by descriptors and follows no link, so whoever writes in the tree meanwhile can't
 * lead it out of it; what vanishes counts nothing. Of a tree with `base`, what is the same there (type, size, modification time) doesn't count.
 * @throws {SysError} ENOENT without the root
 */
export async function treeUsage(root: string, base?: string): Promise<TreeUsage> {
  using top = open(root, O_PATH | O_DIRECTORY);
  using old = base === undefined ? undefined : open(base, O_PATH | O_DIRECTORY);
  const seen = new Set<string>();
  const pending: Path[] = [[]];
  let sizeBytes = 0;
  const breathe = breather();
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    using directory = openDirectory(top.fd, path);
    if (directory === undefined) continue;
    using former = old && openDirectory(old.fd, path);
    for (const { raw } of entries(directory)) {
      await breathe();
      const stat = tryStatx(directory.fd, raw, AT_SYMLINK_NOFOLLOW);
      if (stat === undefined) continue;
      if (isDirectory(stat)) pending.push(child(path, raw));
      const inode = `${stat.dev}:${stat.ino}`;
      if (seen.has(inode) || (former && isSame(stat, tryStatx(former.fd, raw, AT_SYMLINK_NOFOLLOW)))) continue;
      seen.add(inode);
      if (!isDirectory(stat)) sizeBytes += Number(stat.size);
    }
  }
  return { sizeBytes, inodes: seen.size + 1 };
}

function entries({ fd }: Fd): ReturnType<typeof readDirents> {
  try {
    return readDirents(fd);
  } catch (error) {
    // it was removed
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}

function isSame(stat: FileStat, old: FileStat | undefined): boolean {
  return old !== undefined && old.mode === stat.mode && old.size === stat.size && old.mtimeNs === stat.mtimeNs;
}
