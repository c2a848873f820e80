import { isKind } from "../../lib/mod.ts";
import type { ContainersApi, Filters, ImagesApi, LeaseEnd, NetworksApi, VolumesApi } from "../../spec/engine/mod.ts";

/** The objects of the engine, as far as leases reach them. */
export interface Reapable {
  readonly containers: ContainersApi;
  readonly networks: NetworksApi;
  readonly volumes: VolumesApi;
  readonly images: ImagesApi;
}

/** What belongs to an owner: objects that pass one of the filters, and images by name. */
export interface Belongings {
  readonly filters: readonly Filters[];
  readonly images: readonly string[];
}

interface Collected {
  readonly containers: string[];
  readonly networks: string[];
  readonly volumes: string[];
  readonly images: string[];
}

/**
 * Removes everything that belongs to an owner: containers first (as `docker rm -f -v`), since they use the others.
 * What can't be removed does not keep the rest from going. @throws AggregateError of what stayed
 */
export async function reap(engine: Reapable, { filters, images }: Belongings): Promise<LeaseEnd> {
  const done: Collected = { containers: [], networks: [], volumes: [], images: [] };
  const failures: unknown[] = [];
  const attempt = async (into: string[], name: string, remove: () => Promise<unknown>): Promise<void> => {
    try {
      await remove();
      into.push(name);
    } catch (error) {
      if (!isKind(error, "notFound")) failures.push(error);
    }
  };
  for (const filter of filters) {
    const containers = await engine.containers.list({ all: true, limit: 0, size: false, filters: filter });
    await Promise.all(
      containers.map(({ Id = "" }) =>
        attempt(done.containers, Id, () => engine.containers.remove(Id, { force: true, volumes: true, link: false })),
      ),
    );
  }
  for (const filter of filters) {
    const label = filter["label"] ?? [];
    const { NetworksDeleted } = await engine.networks.prune({ label });
    done.networks.push(...(NetworksDeleted ?? []));
    for (const { Name = "" } of (await engine.volumes.list(filter)).Volumes ?? []) {
      await attempt(done.volumes, Name, () => engine.volumes.remove(Name, { force: true }));
    }
    const list = await engine.images.list({ all: false, digests: false, sharedSize: false, manifests: false, filters: { label } });
    for (const { Id = "" } of list) await attempt(done.images, Id, () => engine.images.remove(Id, { force: true, noPrune: false }));
  }
  for (const name of images) await attempt(done.images, name, () => engine.images.remove(name, { force: false, noPrune: false }));
  if (failures.length > 0) throw new AggregateError(failures, "not everything could be removed");
  return { Containers: done.containers, Networks: done.networks, Volumes: done.volumes, Images: done.images };
}
