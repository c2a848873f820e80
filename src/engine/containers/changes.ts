import type { CallOptions, FilesystemChange } from "../../spec/engine/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import { ownDifferences } from "./differences.ts";
import { filledUnstarted } from "./unstarted.ts";

/** Docker's numbers. @see docker-engine-api-1.56.yaml ChangeType */
const KINDS = { same: 0, modified: 0, added: 1, deleted: 2 } as const;

/** GET /containers/{id}/changes: null when nothing has changed. @throws notFound */
export async function containerChanges(deps: ContainerDeps, ref: string, { signal }: CallOptions): Promise<FilesystemChange[] | null> {
  const container = deps.store.find(ref);
  await filledUnstarted(deps, container);
  const changes: FilesystemChange[] = [];
  for await (const { kind, path } of ownDifferences(deps.snapshots.diff(container.id), (difference) => difference.kind !== "same")) {
    signal?.throwIfAborted();
    changes.push({ Path: `/${path}`, Kind: KINDS[kind] });
  }
  return changes.length === 0 ? null : changes;
}
