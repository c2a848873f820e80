import type { DamagedImage } from "../../../images/mod.ts";
import type { ChainId } from "../../../lib/mod.ts";
import type { LayerPlace } from "../../../snapshots/mod.ts";
import { type Container, isRunning } from "../../containers/mod.ts";
import type { Check, CheckDeps, Problem } from "./check.ts";

const LOAD_AGAIN = "load or pull the image again";

/** The checks of layers and images. A damaged layer goes first, then the images that it was in. */
export const imageChecks: readonly Check[] = [
  {
    id: "layers",
    text: "layers on disk and their rows",
    severity: "damage",
    repair: "writes the rows of images' layers again, puts layers of no image aside, and forgets those that are gone",
    advice: LOAD_AGAIN,
    find: (deps) => [
      ...deps.layers.unknown().map((chain) => ({ what: `layer ${chain} is not in the database`, mend: () => takeIn(deps, chain) })),
      ...deps.layers.missing(),
    ],
  },
  {
    id: "layer-contents",
    text: "files of layers, by their digests",
    severity: "damage",
    repair: "puts the layer aside; what runs on it goes on",
    advice: LOAD_AGAIN,
    isDeep: true,
    find: damagedLayers,
  },
  {
    id: "recipes",
    text: "what makes the archives of layers again",
    severity: "damage",
    repair: "",
    advice: "containers run, but the image can't be saved: remove it with its containers, and load or pull it again",
    find: ({ layers }) => {
      const without = layers.list().filter(({ chainId }) => !layers.hasRecipe(chainId));
      return without.map(({ chainId }) => ({ what: `layer ${chainId} has lost its recipe` }));
    },
  },
  {
    id: "images",
    text: "configs of images, by their digests, and their layers",
    severity: "damage",
    repair: "forgets the image; its containers go on, and say so",
    advice: LOAD_AGAIN,
    find: (deps) => deps.images.damaged().map((image) => damagedImage(deps, image)),
  },
  {
    id: "configs",
    text: "blobs of no image",
    severity: "leftover",
    repair: "deletes them",
    advice: "look at the daemon's log for the reason",
    find: ({ images, blobs }) => [
      ...images.strayBlobs().map((digest) => ({ what: `blob ${digest} is of no image`, mend: () => images.removeStrayBlob(digest) })),
      ...blobs.defects(),
    ],
  },
  {
    id: "unused-layers",
    text: "layers of no image and no container",
    severity: "leftover",
    repair: "deletes them",
    advice: "look at the daemon's log for the reason",
    find: ({ images }) =>
      images.unusedLayers().map((chain) => ({ what: `layer ${chain} is unused`, mend: async () => void (await images.collectLayers()) })),
  },
];

/** Gives a layer that an image needs its row again; any other one goes. */
async function takeIn(deps: CheckDeps, chain: ChainId): Promise<void> {
  const { layers, images } = deps;
  const place = images.placeOf(chain);
  if (place !== undefined) {
    const { parent } = place;
    if (parent !== null && layers.unknown().includes(parent)) await takeIn(deps, parent);
    if ((parent === null || layers.get(parent) !== undefined) && (await tryTakeIn(deps, chain, place))) return;
  }
  await layers.discard(chain);
}

async function tryTakeIn({ layers, containers }: CheckDeps, chain: ChainId, place: LayerPlace): Promise<boolean> {
  try {
    return await layers.takeIn(chain, place);
  } catch (error) {
    containers.log.warn("layer without a row can't be read", { layer: chain, error });
    return false;
  }
}

async function damagedLayers(deps: CheckDeps): Promise<Problem[]> {
  const found: Problem[] = [];
  for (const { chainId } of deps.layers.list()) {
    if (!deps.layers.hasRecipe(chainId)) continue;
    const damage = await deps.layers.damageOf(chainId);
    if (damage === undefined) continue;
    found.push({
      what: `layer ${chainId} is damaged: ${damage}`,
      mend: async () => {
        const users = containersOn(deps, chainId);
        await deps.layers.quarantine(chainId, damage);
        tell(deps, users, `a layer of its image is damaged; ${LOAD_AGAIN}`);
      },
    });
  }
  return found;
}

/** The containers with a layer among those that they stand on. */
function containersOn({ containers, layers }: CheckDeps, chain: ChainId): Container[] {
  const isOn = (top: ChainId | null): boolean => {
    for (let at = top; at !== null; at = layers.get(at)?.parent ?? null) if (at === chain) return true;
    return false;
  };
  return containers.store.list().filter(({ spec }) => isOn(spec.topLayer));
}

function damagedImage(deps: CheckDeps, { id, names, reason }: DamagedImage): Problem {
  const { store, emit } = deps.containers;
  return {
    what: `image ${names[0] ?? id} is damaged: ${reason}`,
    mend: () => {
      const users = store.list().filter(({ spec }) => spec.imageId === id);
      deps.images.drop(id);
      emit({ type: "image", action: "delete", id, attributes: { name: id } });
      tell(deps, users, `its image is damaged; ${LOAD_AGAIN}`);
    },
  };
}

/** Those that run have no use for an error in their state: the log says it. */
function tell({ containers }: CheckDeps, users: readonly Container[], text: string): void {
  for (const container of users) {
    containers.log.warn("container stands on what is damaged", { container: container.id, name: container.name, problem: text });
    if (!isRunning(container.state)) containers.store.update(container, { error: text });
  }
}
