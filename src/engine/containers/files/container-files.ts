import { assertsDirectory, cleanPath, extract, pack, preserveTrailing } from "../../../files/mod.ts";
import { unpackStream } from "../../../images/mod.ts";
import { breather, DhowError, errnoCode, errorMessage } from "../../../lib/mod.ts";
import { isErrno, S_IFDIR, S_IFMT, SysError } from "../../../linux/mod.ts";
import { resolveUser } from "../../../runtime/mod.ts";
import type { CallOptions, ContainerFilesApi, PathArchive, PathStat, PutArchiveOptions } from "../../../spec/engine/mod.ts";
import { isRunning } from "../container.ts";
import type { ContainerDeps } from "../deps.ts";
import { emitContainer } from "../emit.ts";
import type { Container } from "../store.ts";
import { type ContainerView, openView } from "./open-view.ts";
import { placeOf, statPath } from "./path-stat.ts";

const NEVER = new AbortController().signal;

/** The files of containers, in and out. */
export class ContainerFiles implements ContainerFilesApi {
  readonly #deps: ContainerDeps;

  constructor(deps: ContainerDeps) {
    this.#deps = deps;
  }

  async stat(ref: string, path: string): Promise<PathStat> {
    const container = this.#deps.store.find(ref);
    return saying(ref, path, async () => {
      using opened = await openView(this.#deps, container);
      return statPath(opened.view, path);
    });
  }

  async getArchive(ref: string, path: string, { signal = NEVER }: CallOptions): Promise<PathArchive> {
    const container = this.#deps.store.find(ref);
    const asked = preserveTrailing(cleanPath(`/${path}`), path);
    return saying(ref, path, async () => {
      using stack = new DisposableStack();
      const opened = stack.use(await openView(this.#deps, container));
      const stat = statPath(opened.view, asked);
      const place = placeOf(opened.view, asked);
      emitContainer(this.#deps.emit, "archive-path", container);
      const chunks = pack(opened.view, place, stat.name, {
        signal,
        breathe: breather(),
        onFault: (file, error) => this.#deps.log.warn("file left out of an archive", { container: container.id, file, error }),
      });
      const held = stack.move();
      return { stat, archive: closing(chunks, () => held.dispose()) };
    });
  }

  async putArchive(ref: string, path: string, archive: AsyncIterable<Uint8Array>, options: PutArchiveOptions): Promise<void> {
    const container = this.#deps.store.find(ref);
    await saying(ref, path, async () => {
      using opened = await openView(this.#deps, container);
      const destination = directoryAt(opened, path);
      checkWritable(container, destination);
      const owner = options.copyUidGid ? ownerOf(opened, container) : "archive";
      const { signal = NEVER, noOverwriteDirNonDir } = options;
      await failingInternally(
        extract(unpackStream(archive), opened.view, destination, { signal, breathe: breather(), noOverwriteDirNonDir, owner }),
      );
    });
    emitContainer(this.#deps.emit, "extract-to-dir", container);
  }
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

/** Runs `work` and says what goes wrong in docker's words: a file that isn't there is named, everything else is the server's failure. */
async function saying<T>(ref: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isErrno(error, "ENOENT")) throw new DhowError("notFound", `Could not find the file ${path} in container ${ref}`, { cause: error });
    if (error instanceof SysError || errnoCode(error) !== undefined) throw new DhowError("internal", errorMessage(error), { cause: error });
    throw error;
  }
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

/** The chunks of an archive; `close` is called once, when they end, fail, or are given up, also before the first. */
function closing(chunks: AsyncGenerator<Uint8Array, void, void>, close: () => void): AsyncIterable<Uint8Array> {
  const next = async (): Promise<IteratorResult<Uint8Array, void>> => {
    try {
      const result = await chunks.next();
      if (result.done) close();
      return result;
    } catch (error) {
      close();
      throw error;
    }
  };
  const end = async (): Promise<IteratorResult<Uint8Array, void>> => {
    await chunks.return();
    close();
    return { done: true, value: undefined };
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: end }) };
}
