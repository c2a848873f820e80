import type { ImagesApi, ImageTransferApi } from "../../spec/engine/mod.ts";
import { perRule, sum } from "./containers.ts";
import type { Objects } from "./objects.ts";

/** What gives a new image the label of the socket's images. @throws forbidden for labels that give power */
export function labelInstruction(objects: Objects, changes: readonly string[]): string[] {
  const { access } = objects;
  const powerful = changes.find((change) => /\bLABEL\b/i.test(change) && /dhow|\\|\$/i.test(change));
  if (objects.isConfined && powerful !== undefined) throw access.refusal(`the change ${JSON.stringify(powerful)}`);
  return Object.entries(access.labelsOfNew("images", null)).map(([key, value]) => `LABEL ${key}="${value}"`);
}

/** Images as far as a socket's clients see them. */
export function scopedImages(objects: Objects): ImagesApi {
  const { access, engine } = objects;
  const { images } = engine;
  return {
    list: async (options) => {
      access.require("images", "read");
      for (const key of ["before", "since"]) for (const ref of options.filters[key] ?? []) await objects.image(ref, "read");
      const found = await images.list(options);
      return found.filter(({ Labels }) => access.reads("images", Labels));
    },
    inspect: async (ref, options) => {
      await objects.image(ref, "read");
      return images.inspect(ref, options);
    },
    history: async (ref, options) => {
      await objects.image(ref, "read");
      const history = await images.history(ref, options);
      if (access.isEverything("images", "read")) return history;
      // images below that are not visible are as good as missing
      const all = await images.list({ all: true, digests: false, sharedSize: false, manifests: false, filters: {} });
      const visible = new Set(all.filter(({ Labels }) => access.reads("images", Labels)).map(({ Id }) => Id));
      return history.map((item) => (visible.has(item.Id) ? item : { ...item, Id: "<missing>", Tags: null }));
    },
    tag: async (ref, target) => {
      await objects.image(ref, "create");
      await objects.requireFreeImageName(target.repo, target.tag);
      return images.tag(ref, target);
    },
    remove: async (ref, options) => {
      await objects.image(ref, "remove");
      return objects.withoutIds(images.remove(ref, options));
    },
    // who may remove an image decides how long it stays
    pin: async (ref, isPinned) => {
      await objects.image(ref, "remove");
      return images.pin(ref, isPinned);
    },
    whyKept: async (ref) => {
      await objects.image(ref, "read");
      const kept = await images.whyKept(ref);
      if (access.isEverything("containers", "read") && access.isEverything("images", "read")) return kept;
      // the others name objects that may not be visible
      return { ...kept, Keepers: kept.Keepers.filter(({ Kind }) => Kind === "pin" || Kind === "age") };
    },
    // it chooses among everybody's images
    collect: async (options) => {
      access.require("images", "prune");
      if (!access.isEverything("images", "prune")) throw access.refusal("image gc");
      return images.collect(options);
    },
    prune: async (filters) => {
      access.require("images", "prune");
      const results = await perRule(access.labelsFor("images", "prune"), filters, (own) => images.prune(own));
      const deleted = results.flatMap(({ ImagesDeleted }) => ImagesDeleted ?? []);
      return { ImagesDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: sum(results) };
    },
  };
}

/** Images on the move. What comes as it is has no label, and may take any name: that needs a rule without one. */
export function scopedTransfer(objects: Objects): ImageTransferApi {
  const { access, engine } = objects;
  const { transfer } = engine;
  const requireEverything = (what: string): void => {
    access.require("images", "create");
    if (!access.isEverything("images", "create")) throw access.refusal(`${what}: the image would be without the label`);
  };
  return {
    pull: async (reference, options) => {
      requireEverything("pull");
      return transfer.pull(reference, options);
    },
    // it runs programs of packages that the client names
    bootstrap: async (options) => {
      requireEverything("bootstrap");
      if (objects.isConfined) throw access.refusal("bootstrap");
      return transfer.bootstrap(options);
    },
    load: async (archive, options) => {
      requireEverything("load");
      return transfer.load(archive, options);
    },
    save: async (refs, options) => {
      for (const ref of refs) await objects.image(ref, "read");
      if (refs.length === 0) access.require("images", "read");
      return transfer.save(refs, options);
    },
    import: async (rootfs, options) => {
      access.require("images", "create");
      // the engine's place in the network is not the client's
      if (objects.isConfined && !(Symbol.asyncIterator in rootfs)) throw access.refusal("import of what the engine would have to download");
      const changes = [...options.changes, ...labelInstruction(objects, options.changes)];
      await objects.requireFreeImageName(options.repo, options.tag);
      return transfer.import(rootfs, { ...options, changes });
    },
  };
}
