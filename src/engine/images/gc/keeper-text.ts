import type { Keeper } from "../../../images/mod.ts";
import type { Digest } from "../../../lib/mod.ts";

/** How the things of a reason are called. */
export interface KeeperWords {
  readonly nameOf: (image: Digest) => string;
  /** How long it is until then. */
  readonly inWords: (untilMs: number) => string;
}

/** One reason to keep an image, as a sentence. */
export function keeperText(keeper: Keeper, { nameOf, inWords }: KeeperWords): string {
  switch (keeper.kind) {
    case "container":
      return `the ${keeper.running ? "running" : "stopped"} container ${keeper.name} was made from it`;
    case "pin":
      return "it is pinned";
    case "age":
      return `it is young: it stays for another ${inWords(keeper.untilMs).toLowerCase()}`;
    case "child":
      return `it is the parent of ${nameOf(keeper.id)}`;
    case "lease":
      return `it belongs to the lease ${keeper.name}`;
    case "work":
      return "work in flight needs its layers: a create, save, load or commit";
    default: {
      const _: never = keeper;
      return _;
    }
  }
}
