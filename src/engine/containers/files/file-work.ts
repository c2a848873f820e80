import { assertsDirectory, cleanPath, extract, pack, preserveTrailing } from "../../../files/mod.ts";
import { breather, DhowError } from "../../../lib/mod.ts";
import { S_IFDIR, S_IFMT } from "../../../linux/mod.ts";
import { resolveUser } from "../../../runtime/mod.ts";
import type { PathArchive, PathStat } from "../../../spec/engine/mod.ts";
import type { OnFault } from "../../aside/mod.ts";
import { isRunning } from "../container.ts";
import type { Container } from "../store.ts";
import type { ContainerView } from "./open-view.ts";
import { placeOf, statPath } from "./path-stat.ts";

/** How an archive is unpacked. */
export interface UnpackJob {
  readonly path: string;
  readonly noOverwriteDirNonDir: boolean;
  readonly copyUidGid: boolean;
}

/** A container's files, opened for one piece of work, here or in another process. */
export interface FileWork extends Disposable {
  /** What is at `path`. @throws {SysError} ENOENT; internal in docker's words */
  stat(path: string): Promise<PathStat>;
  /** The archive of what is at `path`, and what that is. The work has to stay open until the archive ends. */
  pack(path: string, onFault: OnFault): Promise<PathArchive>;
  /** Unpacks a tar into a directory. @throws in docker's words */
  unpack(job: UnpackJob, tar: AsyncIterable<Uint8Array>): Promise<void>;
}

/** Works on a view in this process, by turns with everything else that it does. */
export function workHere(opened: ContainerView, container: Container, signal: AbortSignal): FileWork {
  const { view } = opened;
  return {
    stat: async (path) => statPath(view, path),
    pack: async (path, onFault) => {
      const asked = preserveTrailing(cleanPath(`/${path}`), path);
      const stat = statPath(view, asked);
      const place = placeOf(view, asked);
      return { stat, archive: pack(view, place, stat.name, { signal, breathe: breather(), onFault }) };
    },
    unpack: async ({ path, copyUidGid, noOverwriteDirNonDir }, tar) => {
      const destination = directoryAt(opened, path);
      checkWritable(container, destination);
      const owner = copyUidGid ? ownerOf(opened, container) : "archive";
      await failingInternally(extract(tar, view, destination, { signal, breathe: breather(), noOverwriteDirNonDir, owner }));
    },
    [Symbol.dispose]: () => opened[Symbol.dispose](),
  };
}

/** The directory to unpack to, its links followed. @throws invalid when it is something else */
function directoryAt({ view }: ContainerView, path: string): string {
  const place = view.locate(cleanPath(`/${path}`), { followLast: true });
  if ((view.stat(place).mode & S_IFMT) === S_IFDIR) return view.enter(place).path;
  if (assertsDirectory(path)) throw new DhowError("internal", `lstat ${preserveTrailing(place.path, path)}: not a directory`);
  throw new DhowError("invalid", "extraction point is not a directory");
}

/** @throws invalid when a volume or the root file system is read-only there, in docker's words */
function checkWritable({ spec, state }: Container, path: string): void {
  const contains = (destination: string): boolean => destination === "/" || path === destination || path.startsWith(`${destination}/`);
  const tmpfs = isRunning(state) ? Object.keys(spec.hostConfig.Tmpfs ?? {}) : [];
  const places = [
    ...spec.mounts
      .filter(({ kind }) => kind !== "tmpfs" || isRunning(state))
      .map(({ destination, isReadOnly }) => ({ destination, isReadOnly })),
    ...tmpfs.map((key) => ({ destination: cleanPath(key), isReadOnly: false })),
  ];
  const innermost = places
    .filter(({ destination }) => contains(destination))
    .sort((a, b) => b.destination.length - a.destination.length)[0];
  if (innermost?.isReadOnly) throw new DhowError("invalid", "mounted volume is marked read-only");
  if (!innermost && spec.hostConfig.ReadonlyRootfs) throw new DhowError("invalid", "container rootfs is marked read-only");
}

function ownerOf({ rootfs }: ContainerView, { spec }: Container): "archive" | { readonly uid: number; readonly gid: number } {
  const user = spec.config.User ?? "";
  return user === "" ? "archive" : resolveUser(rootfs, user);
}

/** What goes wrong while an archive is unpacked, be it the archive's own fault, is no bad parameter to docker. */
async function failingInternally(work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof DhowError)) throw error;
    throw new DhowError("internal", error.message, { cause: error });
  }
}
