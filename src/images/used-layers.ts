import { type ChainId, isKind } from "../lib/mod.ts";
import type { Layer, LayerStore } from "../snapshots/mod.ts";

export interface UsedLayersOptions {
  readonly layers: LayerStore;
  /** Whether an image, or work in flight, has a layer. */
  readonly isHeld: (id: ChainId) => boolean;
  /** The top layers that containers stand on. */
  readonly tops: () => Iterable<ChainId>;
}

/** Which layers are used by images, containers, other layers and work in flight; removes those that are not. */
export class UsedLayers {
  readonly #o: UsedLayersOptions;

  constructor(options: UsedLayersOptions) {
    this.#o = options;
  }

  /** Removes the layers of a chain (base first), from its top down to the first that something else uses. Returns those removed. */
  async release(chain: readonly ChainId[]): Promise<ChainId[]> {
    const removed: ChainId[] = [];
    for (const id of chain.toReversed()) {
      if (!this.#o.layers.get(id)) continue;
      if (!(await this.#removeUnused(id))) break;
      removed.push(id);
    }
    return removed;
  }

  /** Removes every layer that nothing uses. Returns those removed. */
  async collect(): Promise<ChainId[]> {
    const removed: ChainId[] = [];
    for (const top of this.#tops()) {
      for (let layer: Layer | undefined = top; layer && (await this.#removeUnused(layer.chainId)); layer = this.#parent(layer)) {
        removed.push(layer.chainId);
      }
    }
    return removed;
  }

  /** The layers that nothing uses and nothing stands on. */
  unused(): ChainId[] {
    return this.#tops()
      .map(({ chainId }) => chainId)
      .filter((id) => !this.#isUsed(id));
  }

  /** The layers that no other stands on. */
  #tops(): Layer[] {
    const layers = this.#o.layers.list();
    const isParent = new Set(layers.map(({ parent }) => parent));
    return layers.filter(({ chainId }) => !isParent.has(chainId));
  }

  #parent({ parent }: Layer): Layer | undefined {
    return parent === null ? undefined : this.#o.layers.get(parent);
  }

  #isContainers(id: ChainId): boolean {
    for (const top of this.#o.tops()) {
      for (let layer = this.#o.layers.get(top); layer; layer = this.#parent(layer)) if (layer.chainId === id) return true;
    }
    return false;
  }

  #isUsed(id: ChainId): boolean {
    return this.#o.isHeld(id) || this.#isContainers(id);
  }

  /** Removes a layer unless something uses it. Returns whether it went. */
  async #removeUnused(id: ChainId): Promise<boolean> {
    // asked anew before each one: others may have begun to use it while the one above was being removed
    if (this.#isUsed(id)) return false;
    try {
      await this.#o.layers.remove(id);
      return true;
    } catch (error) {
      if (isKind(error, "conflict")) return false;
      throw error;
    }
  }
}
