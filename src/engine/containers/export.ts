import { close } from "node:fs";
import { breather } from "../../lib/mod.ts";
import { TarPacker, walk } from "../../snapshots/mod.ts";
import type { CallOptions } from "../../spec/engine/mod.ts";
import type { ContentsDeps } from "./deps.ts";
import { emitContainer } from "./emit.ts";
import { filledUnstarted } from "./unstarted.ts";
import { checkThere, checkUsable, holdLayers } from "./usable.ts";

/**
 * GET /containers/{id}/export: the container's file system as a tar, running or not, without what is mounted in it. Chunks are lent.
 * @throws notFound; conflict while it is being removed
 */
export async function* exportContainer(deps: ContentsDeps, ref: string, { signal }: CallOptions): AsyncGenerator<Uint8Array, void, void> {
  const container = deps.store.find(ref);
  checkUsable(container, "export");
  await using _ = holdLayers(deps, container);
  await filledUnstarted(deps, container);
  const root = deps.snapshots.openRoot(container.id);
  try {
    const packer = new TarPacker({ lent: true });
    const breathe = breather();
    for (const found of walk(root.fd)) {
      yield* packer.add(found, found.path);
      signal?.throwIfAborted();
      await breathe();
    }
    // a container that goes meanwhile takes its files along
    checkThere(deps, container, ref);
    yield* packer.finish();
  } finally {
    // the last one to close a mount waits for the disk
    close(root.release(), () => {});
  }
  emitContainer(deps.emit, "export", container);
}
