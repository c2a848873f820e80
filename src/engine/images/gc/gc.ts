import { type GcImage, type GcPolicy, type Image, keepersOf, type Picked, pick } from "../../../images/mod.ts";
import { type ChainId, type Digest, errnoCode, formatTime, humanDuration, isKind, KeyedMutex } from "../../../lib/mod.ts";
import type { CollectedImage, ImageGcOptions, ImageGcReport, ImageKeeper, KeptImage } from "../../../spec/engine/mod.ts";
import type { ImageDeps } from "../deps.ts";
import { removeImage } from "../remove.ts";
import { keeperText } from "./keeper-text.ts";
import { bytesToLow, type DiskUse, usedPercent } from "./need.ts";
import type { ImageGcSettings } from "./settings.ts";

/** A look at the file system costs microseconds. */
const LOOK_EVERY_MS = 30_000;
const MILLISECOND_NS = 1_000_000n;

export interface ImageGcDeps extends ImageDeps {
  /** Those in force: a reload may change them. */
  readonly settings: ImageGcSettings;
  readonly diskUse: () => DiskUse;
  /** The top layers that containers stand on. */
  readonly layersInUse: () => Iterable<ChainId>;
  /** The name of a lease in force that an image belongs to. */
  readonly leaseOf: (image: Image) => string | undefined;
  /** Waits until what was removed is deleted. */
  readonly drained: () => Promise<void>;
  readonly now?: () => number;
}

/**
 * Removes the images that were used least recently, when the file system of the data root is fuller than the high watermark, until it is
 * less full than the low one.
 * @see https://kubernetes.io/docs/concepts/architecture/garbage-collection/#containers-images
 */
export class ImageGc implements Disposable {
  readonly #deps: ImageGcDeps;
  readonly #mutex = new KeyedMutex();
  #timer: ReturnType<typeof setInterval> | undefined;
  /** What was missing was said once, not at every look. */
  #isShort = false;

  constructor(deps: ImageGcDeps) {
    this.#deps = deps;
  }

  /** Begins to look at the file system now and then. */
  start(): void {
    this.#timer = setInterval(() => this.look(), LOOK_EVERY_MS);
    this.#timer.unref();
    this.look();
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }

  /** Something was written, or could not be for want of room: then images are removed also below the high watermark. */
  written(error?: unknown): void {
    if (error === undefined || isOutOfSpace(error)) this.look(error !== undefined);
  }

  /** Looks at the file system, and removes images in the background when it is too full. */
  look(isFull = false): void {
    const { settings, log, diskUse } = this.#deps;
    if (settings.highPercent === undefined || (!isFull && usedPercent(diskUse()) < settings.highPercent)) return;
    this.collect({ dryRun: false }).then(
      (report) => this.#tell(report),
      (error: unknown) => log.error("images could not be collected", { error }),
    );
  }

  #tell({ SpaceReclaimed }: ImageGcReport): void {
    const { settings, diskUse, log } = this.#deps;
    const missingBytes = bytesToLow(diskUse(), settings.lowPercent);
    if (missingBytes > 0 && !this.#isShort) {
      log.warn("the disk stays full: every other image is kept", { missingBytes, freedBytes: SpaceReclaimed });
    }
    this.#isShort = missingBytes > 0;
  }

  /** Removes what the settings, or `untilFreeBytes`, ask for; one collection at a time. */
  collect({ dryRun, untilFreeBytes }: ImageGcOptions): Promise<ImageGcReport> {
    return this.#mutex.run("collect", async () => {
      const { settings, diskUse, log } = this.#deps;
      const before = diskUse();
      const needOf = (use: DiskUse): number =>
        untilFreeBytes === undefined ? bytesToLow(use, settings.lowPercent) : untilFreeBytes - use.availableBytes;
      const images = dryRun ? this.#choose(needOf(before)).map((picked) => this.#collected(picked)) : await this.#remove(needOf);
      const SpaceReclaimed = images.reduce((sum, { Size }) => sum + Size, 0);
      if (!dryRun && images.length > 0) {
        log.info("removed images to free the disk", {
          images: images.length,
          freedBytes: SpaceReclaimed,
          usedPercentBefore: Math.round(usedPercent(before)),
          usedPercentAfter: Math.round(usedPercent(diskUse())),
        });
      }
      return {
        Images: images,
        SpaceReclaimed,
        Needed: Math.max(0, needOf(before)),
        Capacity: before.capacityBytes,
        Available: before.availableBytes,
      };
    });
  }

  /** A file system may give back less than the files' sizes: it is asked again after each round. */
  async #remove(needOf: (use: DiskUse) => number): Promise<CollectedImage[]> {
    const removed: CollectedImage[] = [];
    for (;;) {
      const chosen = this.#choose(needOf(this.#deps.diskUse()));
      let count = 0;
      for (const picked of chosen) {
        const collected = await this.#removeOne(picked);
        if (collected === undefined) continue;
        removed.push(collected);
        count++;
      }
      if (count === 0) return removed;
      await this.#deps.drained();
    }
  }

  async #removeOne(picked: Picked): Promise<CollectedImage | undefined> {
    // others were at work while the ones before it went: nothing is awaited from here to the removal of its row
    const image = this.#deps.store.tryGet(picked.id);
    if (image === undefined || this.#keepers(image).length > 0) return undefined;
    const collected = this.#collected(picked);
    try {
      await removeImage(this.#deps, picked.id, { force: true, noPrune: true });
      return collected;
    } catch (error) {
      if (isKind(error, "conflict") || isKind(error, "notFound")) return undefined;
      throw error;
    }
  }

  #collected({ id, freedBytes }: Picked): CollectedImage {
    const { names, digests } = this.#deps.store.get(id);
    return { Id: id, Names: [...names, ...digests], LastUsed: timeText(this.#deps.store.uses.of(id).usedMs), Size: freedBytes };
  }

  #choose(needBytes: number): Picked[] {
    if (needBytes <= 0) return [];
    const { store, layers } = this.#deps;
    const stands = new Set<ChainId>();
    for (const top of this.#deps.layersInUse()) {
      for (let at = layers.get(top); at; at = at.parent === null ? undefined : layers.get(at.parent)) stands.add(at.chainId);
    }
    const disk = layers.list().map(({ chainId, sizeBytes }) => ({
      chainId,
      sizeBytes,
      isHeld: stands.has(chainId) || store.leases.has(chainId),
    }));
    const images = store.list().map((image) => this.#gcImage(image));
    return pick(images, disk, { ...this.#policy(), needBytes });
  }

  #policy(): Omit<GcPolicy, "needBytes"> {
    return { nowMs: this.#deps.now?.() ?? Date.now(), minAgeMs: this.#deps.settings.minAgeMs };
  }

  #gcImage(image: Image): GcImage {
    const { store, imageUsers, leaseOf } = this.#deps;
    return {
      id: image.id,
      isDangling: image.names.length === 0,
      parent: image.parent,
      layers: image.layers,
      ...store.uses.of(image.id),
      users: imageUsers(image.id),
      lease: leaseOf(image) ?? "",
      isHeld: image.topLayer !== null && store.leases.has(image.topLayer),
    };
  }

  #keepers(image: Image): ReturnType<typeof keepersOf> {
    return keepersOf(this.#gcImage(image), this.#deps.store.children(image.id), this.#policy());
  }

  /** What keeps an image, in words. */
  explain(image: Image): KeptImage {
    const { store } = this.#deps;
    const { addedMs, usedMs, isPinned } = store.uses.of(image.id);
    const nameOf = (id: Digest): string => store.tryGet(id)?.names[0] ?? id;
    const { nowMs } = this.#policy();
    return {
      Id: image.id,
      Names: [...image.names, ...image.digests],
      Pinned: isPinned,
      Added: timeText(addedMs),
      LastUsed: timeText(usedMs),
      Keepers: this.#keepers(image).map(
        (keeper): ImageKeeper => ({
          Kind: keeper.kind,
          Text: keeperText(keeper, { nameOf, inWords: (untilMs) => humanDuration(untilMs - nowMs) }),
        }),
      ),
    };
  }
}

function timeText(ms: number): string {
  return formatTime(BigInt(ms) * MILLISECOND_NS);
}

/** Whether `error`, or what it was caused by, is a full disk. */
function isOutOfSpace(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause)
    if (["ENOSPC", "EDQUOT", "SQLITE_FULL"].includes(errnoCode(at) ?? "")) return true;
  return false;
}
