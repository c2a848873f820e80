import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { createGzip, createZstdCompress } from "node:zlib";
import { DhowError, type Logger } from "../../lib/mod.ts";
import {
  type CallOptions,
  type ProgressMessage,
  SNAPSHOT_LABEL,
  type Volume,
  type VolumeCloneOptions,
  type VolumeCompression,
  type VolumeContentsApi,
} from "../../spec/engine/mod.ts";
import { isSized, type LocalVolume, type Volumes } from "../../volumes/mod.ts";
import { closing } from "../aside/mod.ts";
import type { Emit } from "../events.ts";
import type { VolumeFiles } from "./volume-files.ts";
import { volumeDto } from "./volumes-api.ts";

export interface VolumeContentsDeps {
  readonly volumes: Volumes;
  readonly files: VolumeFiles;
  readonly emit: Emit;
  readonly log: Logger;
  /** Runs `work` while the running containers that can write to the volume stand still. */
  readonly whilePaused: <T>(volume: string, work: () => Promise<T>) => Promise<T>;
  readonly checkLabels: (labels: Readonly<Record<string, string>> | null | undefined) => void;
}

const NEVER = new AbortController().signal;
/** How often who copies says how far it is. */
const PROGRESS_MS = 250;

type Labels = Readonly<Record<string, string>> | null | undefined;

/** `data-20260102-030405` */
function snapshotName(source: string, now: Date): string {
  const [date = "", time = ""] = now.toISOString().split("T");
  return `${source}-${date.replaceAll("-", "")}-${time.slice(0, 8).replaceAll(":", "")}`;
}

/** What volumes hold, as a whole: copied, archived, under another name, in another size. */
export class VolumeContents implements VolumeContentsApi {
  readonly #deps: VolumeContentsDeps;
  #uses = 0;

  constructor(deps: VolumeContentsDeps) {
    this.#deps = deps;
  }

  async clone(source: string, options: VolumeCloneOptions): Promise<AsyncIterable<ProgressMessage>> {
    const { volumes, files, checkLabels, whilePaused } = this.#deps;
    const volume = await volumes.get(source);
    const name = options.name ?? (options.isSnapshot ? snapshotName(source, new Date()) : "");
    if (name === "") throw new DhowError("invalid", "clone needs a name for the new volume");
    if (volumes.tryGet(name)) throw new DhowError("conflict", `volume ${JSON.stringify(name)} already exists`);
    checkLabels(options.labels);
    const labels = options.isSnapshot ? { ...options.labels, [SNAPSHOT_LABEL]: source } : options.labels;
    // who is gone no longer wants it: what is there of the copy goes, too
    const gone = new AbortController();
    const signal = AbortSignal.any([gone.signal, options.signal ?? NEVER]);
    const bytes = { current: 0, total: 0 };
    const work = this.#using(source, async (from) => {
      const onTotal = (total: number): void => {
        bytes.total = total;
      };
      const onBytes = (more: number): void => {
        bytes.current += more;
      };
      const copy = (): Promise<LocalVolume> =>
        this.#make({ name, labels, size: sizeOf(volume) }, (to) => files.copy(from, to, { signal, onTotal, onBytes }));
      return options.pause ? whilePaused(source, copy) : copy();
    });
    return progressOf(work, { name, bytes, stop: () => gone.abort() });
  }

  async export(
    name: string,
    { compression, signal = NEVER }: { readonly compression: VolumeCompression } & CallOptions,
  ): Promise<AsyncIterable<Uint8Array>> {
    const { path, release } = await this.#use((await this.#deps.volumes.get(name)).name);
    const onFault = (file: string, error: unknown): void =>
      this.#deps.log.warn("file left out of an archive", { volume: name, file, error });
    const tar = closing(this.#deps.files.pack(path, signal, onFault), release);
    if (compression === "none") return tar;
    return Readable.from(tar, { objectMode: false }).compose(compression === "gzip" ? createGzip() : createZstdCompress());
  }

  async import(
    name: string,
    archive: AsyncIterable<Uint8Array>,
    { labels, size, signal = NEVER }: { readonly labels?: Labels; readonly size?: string | undefined } & CallOptions,
  ): Promise<Volume> {
    this.#deps.checkLabels(labels);
    const made = await this.#make({ name, labels, size }, (path) => this.#deps.files.unpack(archive, path, signal));
    return volumeDto(made);
  }

  async rename(name: string, to: string): Promise<Volume> {
    const renamed = await this.#deps.volumes.rename(name, to);
    this.#deps.emit({ type: "volume", action: "rename", id: to, attributes: { driver: renamed.driver, oldName: name } });
    return volumeDto(renamed);
  }

  async resize(name: string, size: string): Promise<Volume> {
    const resized = await this.#deps.volumes.resize(name, size);
    this.#deps.emit({ type: "volume", action: "resize", id: name, attributes: { driver: resized.driver, size } });
    return volumeDto(resized);
  }

  async #make(
    { name, labels, size }: { readonly name: string; readonly labels: Labels; readonly size: string | undefined },
    fill: (path: string) => Promise<void>,
  ): Promise<LocalVolume> {
    const options = size === undefined ? null : { size };
    const made = await this.#deps.volumes.make({ name, labels: labels ?? null, options }, fill);
    this.#deps.emit({ type: "volume", action: "create", id: name, attributes: { driver: made.driver } });
    return made;
  }

  async #use(name: string): Promise<{ readonly path: string; readonly release: () => void }> {
    const user = `contents-${this.#uses++}`;
    const path = await this.#deps.volumes.use(name, user);
    return { path, release: () => void this.#deps.volumes.release(name, user) };
  }

  async #using<T>(name: string, work: (path: string) => Promise<T>): Promise<T> {
    const { path, release } = await this.#use(name);
    try {
      return await work(path);
    } finally {
      release();
    }
  }
}

const sizeOf = ({ options }: LocalVolume): string | undefined => (isSized(options) ? options?.["size"] : undefined);

interface Progress {
  readonly name: string;
  readonly bytes: { readonly current: number; readonly total: number };
  /** Nobody reads on. */
  readonly stop: () => void;
}

async function* progressOf(work: Promise<LocalVolume>, { name, bytes, stop }: Progress): AsyncGenerator<ProgressMessage, void, void> {
  let made: LocalVolume | undefined;
  const done = work.then((volume) => {
    made = volume;
  });
  // it is looked at below; nobody may come to that
  done.catch(() => {});
  try {
    for (;;) {
      await Promise.race([done, sleep(PROGRESS_MS)]);
      if (made !== undefined) break;
      yield { status: "Copying", id: name, progressDetail: { ...bytes } };
    }
    yield { status: "Copied", id: name, progressDetail: { current: bytes.current, total: bytes.total } };
    yield { aux: volumeDto(made) };
  } finally {
    if (made === undefined) {
      stop();
      await done.catch(() => {});
    }
  }
}
