import { breather, DhowError } from "../lib/mod.ts";
import {
  type Fd,
  fstat,
  isErrno,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  O_RDONLY,
  open,
  openat,
  procFdPath,
  projectOf,
  projectQuota,
  readDirents,
  readMountInfo,
  S_IFDIR,
  S_IFMT,
  S_IFREG,
  setProject,
  setProjectLimit,
} from "../linux/mod.ts";

/** Projects of volumes and containers have ids from here on, far from those that people choose for /etc/projid. */
const FIRST_PROJECT = 0x6468_0000;
const PROJECTS = 0x8000;

/**
 * Limits of what directories below a root hold, by the project quotas of the file system that they lie on: a limited directory belongs to a
 * project of its own. The file system itself keeps which project that is, and its limit; a project that nothing belongs to and that has no
 * limit is free.
 */
export class DirectoryQuotas {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  /** Whether the file system enforces limits of projects: ext4 with `prjquota`, XFS with `pquota`, as mount options. */
  isSupported(): boolean {
    const contains = (point: string): boolean => point === "/" || this.#root.startsWith(`${point}/`);
    const [at] = readMountInfo()
      .filter(({ mountPoint }) => contains(mountPoint))
      .sort((a, b) => b.mountPoint.length - a.mountPoint.length || b.mountId - a.mountId);
    if (!at?.superOptions.includes("prjquota")) return false;
    using root = open(this.#root, O_RDONLY | O_DIRECTORY);
    return projectQuota(root.fd, FIRST_PROJECT) !== undefined;
  }

  /** The limit of the directory `path`, in bytes; undefined when it has none. */
  limitBytes(path: string): number | undefined {
    using directory = open(path, O_RDONLY | O_DIRECTORY);
    const project = ownProject(directory);
    return (project !== undefined && projectQuota(directory.fd, project)?.limitBytes) || undefined;
  }

  /** What a limited directory takes. */
  usedBytes(path: string): number {
    using directory = open(path, O_RDONLY | O_DIRECTORY);
    const project = ownProject(directory);
    return project === undefined ? 0 : (projectQuota(directory.fd, project)?.usedBytes ?? 0);
  }

  /** Limits a directory that nothing is in yet. @throws unavailable, {SysError} */
  limitEmpty(path: string, sizeBytes: number): void {
    using directory = open(path, O_RDONLY | O_DIRECTORY);
    const project = freeProject(directory);
    setProject(directory.fd, project, true);
    setProjectLimit(directory.fd, project, sizeBytes);
  }

  /** Limits a directory, also one that had no limit. @throws conflict when it holds more */
  async limit(path: string, sizeBytes: number): Promise<void> {
    using directory = open(path, O_RDONLY | O_DIRECTORY);
    const project = ownProject(directory) ?? freeProject(directory);
    // also of one that has its project: a daemon may have been killed before all of it had
    await assign(directory, project, breather());
    const usedBytes = projectQuota(directory.fd, project)?.usedBytes ?? 0;
    if (usedBytes > sizeBytes) throw new DhowError("conflict", `it holds ${usedBytes} bytes, more than ${sizeBytes}`);
    setProjectLimit(directory.fd, project, sizeBytes);
  }

  /** Takes the limit away: the project is free when its last file is deleted. Nothing happens to a directory that has none, or is none. */
  release(path: string): void {
    try {
      using directory = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      const project = ownProject(directory);
      if (project !== undefined) setProjectLimit(directory.fd, project, 0);
    } catch (error) {
      if (!isErrno(error, "ENOENT", "ENOTDIR", "ESRCH", "ENOSYS")) throw error;
    }
  }
}

function ownProject({ fd }: Fd): number | undefined {
  try {
    const project = projectOf(fd);
    return project >= FIRST_PROJECT && project < FIRST_PROJECT + PROJECTS ? project : undefined;
  } catch (error) {
    if (isErrno(error, "ENOTTY", "EOPNOTSUPP", "EINVAL")) return undefined;
    throw error;
  }
}

/** Begins anywhere, so that not every directory asks for all that are taken. @throws unavailable */
function freeProject({ fd }: Fd): number {
  const first = Math.floor(Math.random() * PROJECTS);
  for (let tried = 0; tried < PROJECTS; tried++) {
    const project = FIRST_PROJECT + ((first + tried) % PROJECTS);
    const quota = projectQuota(fd, project);
    if (quota?.limitBytes === 0 && quota.inodes === 0) return project;
  }
  throw new DhowError("unavailable", "every project id for sizes of volumes and containers is taken");
}

/** The directory first: what is made meanwhile inherits it. Links and special files take no room worth counting. */
async function assign(directory: Fd, project: number, breathe: () => Promise<void> | undefined): Promise<void> {
  if (projectOf(directory.fd) !== project) setProject(directory.fd, project, true);
  for (const { raw, type } of readDirents(directory.fd)) {
    await breathe();
    const format = type << 12;
    try {
      if (format === S_IFDIR) {
        using entry = openat(directory.fd, raw, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        await assign(entry, project, breathe);
      } else if (format === S_IFREG) assignFile(directory, raw, project);
    } catch (error) {
      // it is gone, or something else by now
      if (!isErrno(error, "ENOENT", "ENOTDIR", "ELOOP")) throw error;
    }
  }
}

function assignFile(directory: Fd, name: Uint8Array, project: number): void {
  using found = openat(directory.fd, name, O_PATH | O_NOFOLLOW);
  // a container may have put a device in the way, which must not be opened
  if ((fstat(found.fd).mode & S_IFMT) !== S_IFREG) return;
  using file = open(procFdPath(found.fd), O_RDONLY);
  if (projectOf(file.fd) !== project) setProject(file.fd, project, false);
}
