import type { ChainId, Digest } from "../../lib/mod.ts";

/** An image as far as the choice of those to remove is concerned. */
export interface GcImage {
  readonly id: Digest;
  /** Has no name. */
  readonly isDangling: boolean;
  readonly parent: Digest | null;
  readonly layers: readonly ChainId[];
  /** When it came into the store, and when it was last used; milliseconds since the epoch. */
  readonly addedMs: number;
  readonly usedMs: number;
  readonly isPinned: boolean;
  /** The containers that were made from it. */
  readonly users: readonly { readonly name: string; readonly running: boolean }[];
  /** The name of the lease that it belongs to; empty: none. */
  readonly lease: string;
  /** Work in flight counts on its layers. */
  readonly isHeld: boolean;
}

/** A layer on disk. */
export interface GcLayer {
  readonly chainId: ChainId;
  readonly sizeBytes: number;
  /** A container stands on it, or work in flight counts on it: it stays whatever becomes of images. */
  readonly isHeld: boolean;
}

export interface GcPolicy {
  readonly nowMs: number;
  /** Images that have been in the store for less are kept. */
  readonly minAgeMs: number;
  /** How much is to be freed. */
  readonly needBytes: number;
}

/** What keeps an image. */
export type Keeper =
  | { readonly kind: "container"; readonly name: string; readonly running: boolean }
  | { readonly kind: "pin" }
  | { readonly kind: "age"; readonly untilMs: number }
  | { readonly kind: "child"; readonly id: Digest }
  | { readonly kind: "lease"; readonly name: string }
  | { readonly kind: "work" };

/** An image to remove, and what that frees after the removal of those before it. */
export interface Picked {
  readonly id: Digest;
  readonly freedBytes: number;
}

/** What keeps `image`, whose children are `children`, from being collected; empty: nothing. */
export function keepersOf(image: GcImage, children: Iterable<Digest>, { nowMs, minAgeMs }: Omit<GcPolicy, "needBytes">): Keeper[] {
  const untilMs = image.addedMs + minAgeMs;
  return [
    ...image.users.map(({ name, running }) => ({ kind: "container", name, running }) as const),
    ...(image.isPinned ? [{ kind: "pin" } as const] : []),
    ...(untilMs > nowMs ? [{ kind: "age", untilMs } as const] : []),
    ...[...children].map((id) => ({ kind: "child", id }) as const),
    ...(image.lease === "" ? [] : [{ kind: "lease", name: image.lease } as const]),
    ...(image.isHeld ? [{ kind: "work" } as const] : []),
  ];
}

/**
 * The images to remove, in this order, so that `needBytes` get free: those without a name first, then by their last use, the oldest
 * first. A parent comes after its children. It stops as soon as there is enough, or when everything else is kept.
 */
export function pick(images: readonly GcImage[], layers: readonly GcLayer[], policy: GcPolicy): Picked[] {
  const sizes = new Map(layers.filter(({ isHeld }) => !isHeld).map(({ chainId, sizeBytes }) => [chainId, sizeBytes]));
  const uses = new Map<ChainId, number>();
  for (const image of images) for (const layer of image.layers) uses.set(layer, (uses.get(layer) ?? 0) + 1);
  const children = new Map(images.map(({ id }) => [id, new Set(images.flatMap((child) => (child.parent === id ? child.id : [])))]));
  const candidates = images.toSorted(byUse);
  const picked: Picked[] = [];
  for (let leftBytes = policy.needBytes; leftBytes > 0; ) {
    const at = candidates.findIndex((image) => keepersOf(image, children.get(image.id) ?? [], policy).length === 0);
    const [image] = at < 0 ? [] : candidates.splice(at, 1);
    if (image === undefined) break;
    if (image.parent !== null) children.get(image.parent)?.delete(image.id);
    const freedBytes = release(image, uses, sizes);
    picked.push({ id: image.id, freedBytes });
    leftBytes -= freedBytes;
  }
  return picked;
}

function byUse(a: GcImage, b: GcImage): number {
  return Number(b.isDangling) - Number(a.isDangling) || a.usedMs - b.usedMs || a.addedMs - b.addedMs || (a.id < b.id ? -1 : 1);
}

/** Takes an image's uses of its layers back; returns the bytes of those that nothing uses any more. */
function release(image: GcImage, uses: Map<ChainId, number>, sizes: ReadonlyMap<ChainId, number>): number {
  let freed = 0;
  for (const layer of image.layers) {
    const left = (uses.get(layer) ?? 1) - 1;
    uses.set(layer, left);
    if (left === 0) freed += sizes.get(layer) ?? 0;
  }
  return freed;
}
