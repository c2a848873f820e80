import { parseTime } from "../../lib/mod.ts";
import type { Filters } from "../../spec/engine/mod.ts";
import { checkFilters, untilFilter } from "../images/filters.ts";
import type { ContainerDeps } from "./deps.ts";
import { type ListDeps, labelTest } from "./list.ts";
import { removeContainer } from "./remove.ts";

const KNOWN = ["until", "label", "label!"];

/** POST /containers/prune: removes what doesn't run. @throws invalid for unknown filters */
export async function pruneContainers(
  deps: ContainerDeps,
  list: Pick<ListDeps, "sizes">,
  filters: Filters,
): Promise<{ readonly ContainersDeleted: string[] | null; readonly SpaceReclaimed: number }> {
  checkFilters(filters, KNOWN);
  const until = untilFilter(filters);
  const hasLabels = labelTest(filters);
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const container of deps.store.list()) {
    const { status } = container.state;
    if (status !== "created" && status !== "exited" && status !== "dead") continue;
    if (until !== undefined && (parseTime(container.spec.created) ?? 0n) > until) continue;
    if (!hasLabels(container)) continue;
    const { rw } = await list.sizes(container);
    try {
      await deps.locks.run(container.id, () => removeContainer(deps, container, { force: false, volumes: false }));
    } catch (error) {
      deps.log.warn("container could not be pruned", { container: container.id, error });
      continue;
    }
    reclaimed += rw;
    deleted.push(container.id);
  }
  deps.emit({ type: "container", action: "prune", id: "", attributes: { reclaimed: String(reclaimed) } });
  return { ContainersDeleted: deleted.length > 0 ? deleted : null, SpaceReclaimed: reclaimed };
}
