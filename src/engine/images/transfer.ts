import { readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import {
  applyChanges,
  importRootfs,
  isDistroReference,
  loadArchive,
  makeDistroImage,
  noSuchImage,
  platformOf,
  progressStream,
  type Report,
  type SavedImage,
  saveArchive,
} from "../../images/mod.ts";
import { type Defect, DhowError, type Digest, KeyedMutex, shortId } from "../../lib/mod.ts";
import type { ImageTransferApi, ProgressMessage } from "../../spec/engine/mod.ts";
import { hostPlatform, parsePlatform, platformMatches } from "../../spec/oci/mod.ts";
import {
  familiarName,
  familiarString,
  parseAnyReference,
  parseReference,
  type Reference,
  referenceString,
  repoTagReference,
  withDefaultTag,
} from "../../spec/reference.ts";
import { emitImage, type ImageDeps, tagImage } from "./deps.ts";
import { beginDownload, withDownloadProgress } from "./download.ts";

/** The kernel's clock for files goes in steps, and is behind by one at most. */
const CLOCK_STEP_MS = 20;

type LoadOptions = Parameters<ImageTransferApi["load"]>[1];
type SaveOptions = Parameters<ImageTransferApi["save"]>[1];
type ImportOptions = Parameters<ImageTransferApi["import"]>[1];
type PullOptions = Parameters<ImageTransferApi["pull"]>[1];
type BootstrapOptions = Parameters<ImageTransferApi["bootstrap"]>[0];

/** Images on the move: archives in and out, root file systems, and images made from packages. */
export class ImageTransfer implements ImageTransferApi {
  readonly #deps: ImageDeps;
  /** One image of packages is made once, however many ask for it. */
  readonly #making = new KeyedMutex();
  /** When the work in flight began, by the clock of files. */
  readonly #begun = new Set<{ readonly atMs: number }>();

  constructor(deps: ImageDeps) {
    this.#deps = deps;
  }

  /** Temporary files that are older than any work in flight. */
  temporaryDefects(): Defect[] {
    const { temporary } = this.#deps;
    const oldestMs = Math.min(...[...this.#begun].map(({ atMs }) => atMs));
    const stray = readdirSync(temporary).filter(
      (name) => (statSync(join(temporary, name), { throwIfNoEntry: false })?.birthtimeMs ?? oldestMs) < oldestMs,
    );
    return stray.map((name) => ({
      what: `${join(temporary, name)} is of no load or pull`,
      mend: () => rmSync(join(temporary, name), { recursive: true, force: true }),
    }));
  }

  /** Notes work that writes an image, for as long as it goes on. */
  async #inFlight<T>(work: () => Promise<T>): Promise<T> {
    const entry = { atMs: Date.now() - CLOCK_STEP_MS };
    this.#begun.add(entry);
    try {
      const result = await work();
      this.#deps.written();
      return result;
    } catch (error) {
      this.#deps.written(error);
      throw error;
    } finally {
      this.#begun.delete(entry);
    }
  }

  async pull(text: string, options: PullOptions): Promise<AsyncIterable<ProgressMessage>> {
    const reference = withDefaultTag(parseReference(text));
    const platform = options.platform === undefined || options.platform === "" ? hostPlatform() : parsePlatform(options.platform);
    if (!isDistroReference(reference)) throw unreachable(reference);
    return progressStream(options.signal, async (report, signal) => {
      report({ status: `Pulling from ${familiarName(reference)}`, id: reference.tag ?? "" });
      const isNew = await this.#makeOnce(reference, { include: [], names: [reference], report, signal, platform });
      report({ status: `Status: ${isNew ? "Downloaded newer image" : "Image is up to date"} for ${familiarString(reference)}` });
      const image = this.#deps.store.resolve(familiarString(reference));
      this.#deps.store.uses.note(image.id);
      this.#deps.emit({
        type: "image",
        action: "pull",
        id: familiarString(reference),
        attributes: { ...image.config.config?.Labels, name: familiarName(reference) },
      });
    });
  }

  async bootstrap(options: BootstrapOptions): Promise<AsyncIterable<ProgressMessage>> {
    const source = withDefaultTag(parseReference(options.source));
    if (!isDistroReference(source)) throw unreachable(source);
    const names = options.tags.length > 0 ? options.tags.map(tagReference) : [source];
    return progressStream(options.signal, async (report, signal) => {
      await this.#makeOnce(source, { include: options.include, names, report, signal, platform: hostPlatform() });
      for (const name of names) report({ status: `Made image ${familiarString(name)} (${shortId(this.#deps.store.imageOf(name) ?? "")})` });
    });
  }

  /** Makes the image unless its names are there already. Returns whether it was made. */
  #makeOnce(
    source: Reference,
    options: {
      readonly include: readonly string[];
      readonly names: readonly Reference[];
      readonly report: Report;
      readonly signal: AbortSignal;
      readonly platform: ReturnType<typeof hostPlatform>;
    },
  ): Promise<boolean> {
    const { store, layers, temporary, log } = this.#deps;
    const { include, names, report, signal, platform } = options;
    return this.#making.run(referenceString(source), async () => {
      signal.throwIfAborted();
      if (include.length === 0) {
        const made = store.imageOf(source);
        if (made !== null && platformMatches(platform, platformOf(store.get(made).config))) {
          for (const name of names) if (store.imageOf(name) !== made) tagImage(this.#deps, name, made);
          return false;
        }
      }
      const image = await this.#inFlight(() =>
        makeDistroImage(source, { store, layers, temporary, include, platform, signal, report, log }),
      );
      for (const name of names) tagImage(this.#deps, name, image.id);
      return true;
    });
  }

  load(archive: AsyncIterable<Uint8Array>, options: LoadOptions): Promise<AsyncIterable<ProgressMessage>> {
    const { store, layers, temporary } = this.#deps;
    return progressStream(options.signal, (report, signal) =>
      this.#inFlight(() =>
        loadArchive(archive, {
          store,
          layers,
          temporary,
          platforms: (options.platforms ?? []).map(parsePlatform),
          report,
          reportLayer: options.quiet ? () => {} : report,
          signal,
          onLoaded: (image) => emitImage(this.#deps, "load", image),
        }),
      ),
    );
  }

  async save(refs: readonly string[], options: SaveOptions): Promise<AsyncIterable<Uint8Array>> {
    const { store, layers } = this.#deps;
    const platforms = (options.platforms ?? []).map(parsePlatform);
    const saved = new Map<Digest, Reference[]>();
    for (const ref of refs) {
      for (const { id, name } of this.#named(ref)) {
        const names = saved.get(id) ?? [];
        const isKnown = name === undefined || names.some((other) => referenceString(other) === referenceString(name));
        saved.set(id, isKnown ? names : [...names, name]);
      }
    }
    const images = [...saved].map(([id, names]): SavedImage => ({ image: store.get(id), names }));
    for (const { image } of images) {
      if (platforms.length === 0 || platforms.some((platform) => platformMatches(platform, platformOf(image.config)))) continue;
      throw new DhowError("notFound", `image ${shortId(image.id)} is not available for the requested platform`);
    }
    const archive = saveArchive(images, store, layers);
    const { signal } = options;
    const deps = this.#deps;
    return (async function* () {
      // Layers must outlive the stream, also when their image is removed meanwhile.
      const lease = store.leases.hold(images.flatMap(({ image }) => image.layers));
      try {
        for await (const chunk of archive) {
          signal?.throwIfAborted();
          yield chunk;
        }
        for (const { image } of images) {
          store.uses.note(image.id);
          emitImage(deps, "save", image);
        }
      } finally {
        lease[Symbol.dispose]();
        for (const { image } of images) if (!store.tryGet(image.id)) await store.releaseLayers(image.layers);
      }
    })();
  }

  /** What `docker save`'s argument means: an id, a name with a tag, or a repository with all its tags. */
  #named(ref: string): { readonly id: Digest; readonly name?: Reference }[] {
    const { store } = this.#deps;
    const any = parseAnyReference(ref);
    if (any.kind === "id") return [{ id: store.get(any.id).id }];
    const { reference } = any;
    if (reference.tag === null && reference.digest === null) {
      const tagged = store.repository(reference).filter((row) => row.reference.digest === null);
      if (tagged.length > 0) return tagged.map((row) => ({ id: row.imageId, name: row.reference }));
      const id = store.resolveId(ref);
      if (id === undefined) throw new DhowError("notFound", `No such image: ${ref}`);
      return [{ id }];
    }
    const id = store.imageOf(reference);
    if (id !== null) return [reference.digest === null ? { id, name: reference } : { id }];
    const byPrefix = familiarName(reference) === "sha256" ? store.resolveId(ref) : undefined;
    if (byPrefix === undefined) throw new DhowError("notFound", "reference does not exist");
    return [{ id: byPrefix }];
  }

  async import(
    source: AsyncIterable<Uint8Array> | { readonly url: string },
    options: ImportOptions,
  ): Promise<AsyncIterable<ProgressMessage>> {
    const { store, layers } = this.#deps;
    const name = repoTagReference(options.repo, options.tag);
    const runConfig = applyChanges({}, options.changes);
    const platform = options.platform === "" ? hostPlatform() : parsePlatform(options.platform);
    if (platform.os !== "linux") throw new DhowError("invalid", `operating system is not supported: ${platform.os}`);
    // a request that brings the archive has a url of its own
    const download = Symbol.asyncIterator in source ? { body: source } : await beginDownload(source.url, options.signal);
    return progressStream(options.signal, async (report, signal) => {
      const rootfs = "url" in download ? withDownloadProgress(download, report) : download.body;
      const message = options.message === "" ? "Imported from -" : options.message;
      const image = await this.#inFlight(() =>
        importRootfs(rootfs, { store, layers, signal, platform, runConfig, message, name: "the imported archive" }),
      );
      if (name) tagImage(this.#deps, name, image.id);
      emitImage(this.#deps, "import", image);
      report({ status: image.id });
    });
  }
}

function tagReference(text: string): Reference {
  const reference = parseReference(text);
  if (reference.digest !== null) throw new DhowError("invalid", "refusing to create a tag with a digest reference");
  return withDefaultTag(reference);
}

/** What a user can do about an image that is in no place this engine reaches. */
function unreachable(reference: Reference): DhowError {
  const name = familiarString(reference);
  const { message } = noSuchImage(name);
  return new DhowError(
    "notFound",
    `${message}: no registry is reachable from here; load it from an archive (docker load), import a root file system (docker import), or make a base image from packages (dhow image bootstrap -t ${name} distro/busybox)`,
  );
}
