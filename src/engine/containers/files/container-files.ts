import { unpackStream } from "../../../images/mod.ts";
import { DhowError, errnoCode, errorMessage } from "../../../lib/mod.ts";
import { isErrno, SysError } from "../../../linux/mod.ts";
import type { CallOptions, ContainerFilesApi, PathArchive, PathStat, PutArchiveOptions } from "../../../spec/engine/mod.ts";
import { closing } from "../../aside/mod.ts";
import { isRunning } from "../container.ts";
import type { ContainerDeps } from "../deps.ts";
import { emitContainer } from "../emit.ts";
import { mayHang } from "../hanging.ts";
import type { Container } from "../store.ts";
import { type FileWork, workHere } from "./file-work.ts";
import { holdPlan, openView, tmpfsOf } from "./open-view.ts";
import { workElsewhere } from "./work-elsewhere.ts";

const NEVER = new AbortController().signal;

/** The files of containers, in and out. */
export class ContainerFiles implements ContainerFilesApi {
  readonly #deps: ContainerDeps;

  constructor(deps: ContainerDeps) {
    this.#deps = deps;
  }

  async stat(ref: string, path: string, { signal = NEVER }: CallOptions = {}): Promise<PathStat> {
    const container = this.#deps.store.find(ref);
    return saying(ref, path, async () => {
      const { found, work } = await this.#read(container, signal, (opened) => opened.stat(path));
      work[Symbol.dispose]();
      return found;
    });
  }

  async getArchive(ref: string, path: string, { signal = NEVER }: CallOptions): Promise<PathArchive> {
    const container = this.#deps.store.find(ref);
    return saying(ref, path, async () => {
      const { found, work } = await this.#read(container, signal, (opened) =>
        opened.pack(path, (file, error) => this.#deps.log.warn("file left out of an archive", { container: container.id, file, error })),
      );
      emitContainer(this.#deps.emit, "archive-path", container);
      return { stat: found.stat, archive: closing(found.archive, () => work[Symbol.dispose]()) };
    });
  }

  async putArchive(ref: string, path: string, archive: AsyncIterable<Uint8Array>, options: PutArchiveOptions): Promise<void> {
    const container = this.#deps.store.find(ref);
    const { signal = NEVER, noOverwriteDirNonDir, copyUidGid } = options;
    await saying(ref, path, async () => {
      using work = await this.#open(container, signal, true);
      await work.unpack({ path, noOverwriteDirNonDir, copyUidGid }, unpackStream(archive));
    });
    emitContainer(this.#deps.emit, "extract-to-dir", container);
  }

  /**
   * Opens a container's files and reads from them; they stay open. What was put below a tmpfs before the start is found, as with dockerd,
   * where the tmpfs has nothing of that name. @throws what `read` throws
   */
  async #read<T>(
    container: Container,
    signal: AbortSignal,
    read: (work: FileWork) => Promise<T>,
  ): Promise<{ readonly found: T; readonly work: FileWork }> {
    const attempt = async (seesTmpfs: boolean): Promise<{ readonly found: T; readonly work: FileWork }> => {
      using stack = new DisposableStack();
      const work = stack.use(await this.#open(container, signal, seesTmpfs));
      const found = await read(work);
      stack.move();
      return { found, work };
    };
    try {
      return await attempt(true);
    } catch (error) {
      if (!isErrno(error, "ENOENT") || !isRunning(container.state) || tmpfsOf(container.spec).length === 0) throw error;
      return attempt(false);
    }
  }

  #open(container: Container, signal: AbortSignal, seesTmpfs: boolean): Promise<FileWork> {
    // its mount points may have to be made, which must not meet a start
    return isRunning(container.state)
      ? this.#assemble(container, signal, seesTmpfs)
      : this.#deps.locks.run(container.id, () => this.#assemble(container, signal, seesTmpfs));
  }

  async #assemble(container: Container, signal: AbortSignal, seesTmpfs: boolean): Promise<FileWork> {
    using stack = new DisposableStack();
    const held = stack.use(await holdPlan(this.#deps, container, seesTmpfs));
    const { fileHelper, volumes } = this.#deps;
    const work = stack.use(
      fileHelper !== undefined && mayHang(container, volumes)
        ? await workElsewhere(fileHelper, held, signal)
        : workHere(await openView(held.plan, held.root.fd), container, signal),
    );
    const kept = stack.move();
    return {
      stat: (path) => work.stat(path),
      pack: (path, onFault) => work.pack(path, onFault),
      unpack: (job, tar) => work.unpack(job, tar),
      [Symbol.dispose]: () => kept.dispose(),
    };
  }
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
