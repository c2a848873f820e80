import { randomInt } from "node:crypto";
import { readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ChainId, type Defect, digestHex, errnoCode } from "../lib/mod.ts";
import { noSuchLayer } from "./snapshotter.ts";

/**
 * Which layers are below which, by short names: they keep the options of a mount short. On disk, see `Overlay2`: `l/<short>`, and
 * the file `chain` in each layer's directory.
 */
export class OverlayChains {
  readonly #root: string;
  readonly #known = new Map<ChainId, readonly string[]>();

  /** @param root the driver's directory; its `l` and `layers` are there */
  constructor(root: string) {
    this.#root = root;
  }

  /** The lower directories of a mount on top of a layer, top first, relative to the driver's directory. @throws notFound */
  lowers(chainId: ChainId): readonly string[] {
    const known = this.#find(chainId);
    if (known === undefined) throw noSuchLayer(chainId);
    this.#known.set(chainId, known);
    return known;
  }

  /** The same, absolute and without the short names; a chain that is gone has none. */
  paths(chainId: ChainId): string[] {
    return (this.#find(chainId) ?? []).flatMap((link) => {
      try {
        return join(this.#root, "l", readlinkSync(join(this.#root, link)));
      } catch (error) {
        if (errnoCode(error) === "ENOENT") return [];
        throw error;
      }
    });
  }

  /**
   * Takes in a new layer on top of `parent`, whose directory is still `dir`; `place` has to put it in its place. What fails leaves no
   * name behind. @throws notFound, and what `place` throws
   */
  add(chainId: ChainId, parent: ChainId | null, dir: string, place: () => void): void {
    const below = parent === null ? [] : this.lowers(parent);
    const name = this.#makeName(chainId);
    try {
      writeFileSync(join(dir, "chain"), [name, ...below.map((lower) => lower.slice(2))].join(":"));
      place();
    } catch (error) {
      unlinkSync(join(this.#root, "l", name));
      throw error;
    }
  }

  /** Has `take` take a layer's directory away, and its name with it. */
  remove(chainId: ChainId, take: () => void): void {
    const link = this.#read(chainId)?.[0];
    this.#known.delete(chainId);
    take();
    if (link !== undefined) rmSync(join(this.#root, link), { force: true });
  }

  /** Names of none of `layers`, and layers without theirs. */
  defects(layers: readonly ChainId[]): Defect[] {
    const wanted = new Map(layers.flatMap((chain) => (this.#read(chain)?.slice(0, 1) ?? []).map((link) => [link, chain])));
    const found = new Set(readdirSync(join(this.#root, "l")).map((name) => `l/${name}`));
    const stray = [...found].filter((link) => !wanted.has(link));
    const missing = [...wanted].filter(([link]) => !found.has(link));
    return [
      ...stray.map((link) => ({
        what: `short name ${join(this.#root, link)} is of no layer`,
        mend: () => rmSync(join(this.#root, link), { force: true }),
      })),
      ...missing.map(([link, chain]) => ({
        what: `short name ${join(this.#root, link)} of layer ${chain} is missing`,
        mend: () => this.#link(link, chain),
      })),
    ];
  }

  #find(chainId: ChainId): readonly string[] | undefined {
    return this.#known.get(chainId) ?? this.#read(chainId);
  }

  #read(chainId: ChainId): readonly string[] | undefined {
    try {
      const text = readFileSync(join(this.#root, "layers", digestHex(chainId), "chain"), "utf8");
      return text.split(":").map((name) => `l/${name}`);
    } catch (error) {
      if (errnoCode(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  #makeName(chainId: ChainId): string {
    for (;;) {
      const name = randomInt(36 ** 5)
        .toString(36)
        .padStart(5, "0");
      try {
        this.#link(`l/${name}`, chainId);
        return name;
      } catch (error) {
        if (errnoCode(error) !== "EEXIST") throw error;
      }
    }
  }

  #link(link: string, chainId: ChainId): void {
    symlinkSync(`../layers/${digestHex(chainId)}/diff`, join(this.#root, link));
  }
}
