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
import { holdPlan, openView } from "./open-view.ts";
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
      using work = await this.#open(container, signal);
      return await work.stat(path);
    });
  }

  async getArchive(ref: string, path: string, { signal = NEVER }: CallOptions): Promise<PathArchive> {
    const container = this.#deps.store.find(ref);
    return saying(ref, path, async () => {
      using stack = new DisposableStack();
      const work = stack.use(await this.#open(container, signal));
      const { stat, archive } = await work.pack(path, (file, error) =>
        this.#deps.log.warn("file left out of an archive", { container: container.id, file, error }),
      );
      emitContainer(this.#deps.emit, "archive-path", container);
      const held = stack.move();
      return { stat, archive: closing(archive, () => held.dispose()) };
    });
  }

  async putArchive(ref: string, path: string, archive: AsyncIterable<Uint8Array>, options: PutArchiveOptions): Promise<void> {
    const container = this.#deps.store.find(ref);
    const { signal = NEVER, noOverwriteDirNonDir, copyUidGid } = options;
    await saying(ref, path, async () => {
      using work = await this.#open(container, signal);
      await work.unpack({ path, noOverwriteDirNonDir, copyUidGid }, unpackStream(archive));
    });
    emitContainer(this.#deps.emit, "extract-to-dir", container);
  }

  #open(container: Container, signal: AbortSignal): Promise<FileWork> {
    // its mount points may have to be made, which must not meet a start
    return isRunning(container.state)
      ? this.#assemble(container, signal)
      : this.#deps.locks.run(container.id, () => this.#assemble(container, signal));
  }

  async #assemble(container: Container, signal: AbortSignal): Promise<FileWork> {
    using stack = new DisposableStack();
    const held = stack.use(await holdPlan(this.#deps, container));
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
