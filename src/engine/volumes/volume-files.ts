import { extract, FileView, pack, treeUsage } from "../../files/mod.ts";
import { unpackStream } from "../../images/mod.ts";
import { breather } from "../../lib/mod.ts";
import { askingMountPoints, O_DIRECTORY, O_PATH, open } from "../../linux/mod.ts";
import { type CopyUp, copyDirectory, copyUp } from "../../volumes/mod.ts";
import { FRAME, HelperProcess, type OnFault } from "../aside/mod.ts";

/** Work on the files of volumes; the places are paths of directories. */
export type VolumeWork =
  | { readonly kind: "usage"; readonly path: string }
  | { readonly kind: "pack"; readonly path: string }
  | { readonly kind: "unpack"; readonly path: string }
  | { readonly kind: "copy"; readonly from: string; readonly to: string }
  | ({ readonly kind: "copyUp" } & CopyUp);

/** How long a file system may say nothing until the size of a volume on it counts as unknown. */
const SILENCE_MS = 10_000;

/** Told how many bytes more are copied. */
export type OnBytes = (bytes: number) => void;

interface CopyOptions {
  readonly signal: AbortSignal;
  readonly onBytes: OnBytes;
}

/**
 * The files of volumes, in this process or in another one: where a file system may keep who asks it waiting, only that work waits, and ends
 * when its signal is aborted. A whole volume is copied, or made of an archive, by a process of its own in any case.
 */
export class VolumeFiles {
  /** What starts the helper; in an engine that is embedded in another program there is none. */
  readonly #helper: readonly string[] | undefined;

  constructor(helper: readonly string[] | undefined) {
    this.#helper = helper;
  }

  /** Which of the volumes at `paths` have a file system in them that may keep waiting who counts their size. */
  slowAmong(paths: readonly string[]): ReadonlySet<string> {
    if (this.#helper === undefined) return new Set();
    const points = askingMountPoints();
    // no link is followed: only what is mounted in it may lead elsewhere
    return new Set(paths.filter((path) => points.some((point) => point === path || point.startsWith(`${path}/`))));
  }

  /** What the files of a volume in the data root take; undefined when a file system in it doesn't answer. @throws {SysError} ENOENT, the signal's reason */
  async usageBytes(path: string, signal: AbortSignal): Promise<number | undefined> {
    if (this.#helper === undefined || !this.slowAmong([path]).has(path)) return (await treeUsage(path)).sizeBytes;
    return this.#usageAside(this.#helper, path, signal);
  }

  async #usageAside(command: readonly string[], path: string, signal: AbortSignal): Promise<number | undefined> {
    const silent = new AbortController();
    const timer = setTimeout(() => silent.abort(), SILENCE_MS);
    using helper = new HelperProcess(command, AbortSignal.any([signal, silent.signal]));
    try {
      await helper.tell({ kind: "usage", path } satisfies VolumeWork);
      for (;;) {
        const { kind, value } = await helper.next();
        timer.refresh();
        if (kind === FRAME.done) return (value as { readonly sizeBytes: number }).sizeBytes;
      }
    } catch (error) {
      if (signal.aborted || !silent.signal.aborted) throw error;
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Copies a volume's content to an empty directory; `onTotal` is told how many bytes that are. @throws {SysError}, the signal's reason */
  async copy(from: string, to: string, options: CopyOptions & { readonly onTotal: OnBytes }): Promise<void> {
    const { signal, onBytes, onTotal } = options;
    if (this.#helper === undefined) {
      onTotal((await treeUsage(from)).sizeBytes);
      return copyDirectory(from, to, { signal, onBytes });
    }
    using helper = new HelperProcess(this.#helper, signal);
    await helper.tell({ kind: "copy", from, to } satisfies VolumeWork);
    onTotal((await helper.frame(FRAME.count)).value as number);
    await counting(helper, onBytes);
  }

  /**
   * Fills an empty volume with what the image has at a mount's destination; `isElsewhere` says that its files may be those of a file system
   * that asks. @throws {SysError}, the signal's reason
   */
  async copyUp(asked: CopyUp, options: CopyOptions & { readonly isElsewhere: boolean }): Promise<void> {
    if (this.#helper === undefined || !options.isElsewhere || askingMountPoints().length === 0) return copyUp(asked);
    using helper = new HelperProcess(this.#helper, options.signal);
    await helper.tell({ kind: "copyUp", ...asked } satisfies VolumeWork);
    await counting(helper, options.onBytes);
  }

  /** A tar of a volume's files. @throws {SysError}, the signal's reason */
  pack(path: string, signal: AbortSignal, onFault: OnFault): AsyncGenerator<Uint8Array, void, void> {
    if (this.#helper === undefined || askingMountPoints().length === 0) return packHere(path, signal, onFault);
    return this.#packAside(this.#helper, path, { signal, onFault });
  }

  /** Unpacks a tar, however it is compressed, in an empty directory. @throws invalid, {SysError}, the signal's reason */
  async unpack(archive: AsyncIterable<Uint8Array>, path: string, signal: AbortSignal): Promise<void> {
    if (this.#helper === undefined) return unpackHere(archive, path, signal);
    using helper = new HelperProcess(this.#helper, signal);
    await helper.tell({ kind: "unpack", path } satisfies VolumeWork);
    await helper.unpack(archive);
  }

  async *#packAside(
    command: readonly string[],
    path: string,
    { signal, onFault }: { readonly signal: AbortSignal; readonly onFault: OnFault },
  ): AsyncGenerator<Uint8Array, void, void> {
    using helper = new HelperProcess(command, signal);
    await helper.tell({ kind: "pack", path } satisfies VolumeWork);
    yield* helper.archive(onFault);
  }
}

/** The tar of a volume's files, made in this process by turns with everything else that it does. @throws {SysError} */
export async function* packHere(path: string, signal: AbortSignal, onFault: OnFault): AsyncGenerator<Uint8Array, void, void> {
  using root = open(path, O_PATH | O_DIRECTORY);
  using view = new FileView({ root, isReadOnly: true });
  yield* pack(view, view.locate("/", { followLast: true }), ".", { signal, breathe: breather(), onFault });
}

/** Unpacks a tar in this process, by turns with everything else that it does. @throws invalid, {SysError} */
export async function unpackHere(archive: AsyncIterable<Uint8Array>, path: string, signal: AbortSignal): Promise<void> {
  using root = open(path, O_PATH | O_DIRECTORY);
  using view = new FileView({ root });
  await extract(unpackStream(archive), view, "/", { signal, breathe: breather(), noOverwriteDirNonDir: false, owner: "archive" });
}

/** Hands on what is counted until the work is done. */
async function counting(helper: HelperProcess, onBytes: OnBytes): Promise<void> {
  for (;;) {
    const { kind, value } = await helper.next();
    if (kind === FRAME.done) return;
    if (kind === FRAME.count) onBytes(value as number);
  }
}
