import { DhowError, nowNs, parseDuration, parseTime } from "../../lib/mod.ts";
import type { Filters } from "../../spec/engine/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import { type ListDeps, labelTest } from "./list.ts";
import { removeContainer } from "./remove.ts";

const KNOWN = new Set(["until", "label", "label!"]);

/** A filter's `until`: a unix time, an RFC 3339 time or a duration before now; in nanoseconds since the epoch. @throws invalid */
export function parseUntil(text: string): bigint {
  const duration = parseDuration(text);
  if (duration !== undefined && !/^\d+$/.test(text)) return nowNs() - duration;
  if (/^\d+(\.\d+)?$/.test(text)) return BigInt(Math.trunc(Number(text) * 1e6)) * 1000n;
  const padded = /^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : /T[\d:.]+$/.test(text) ? `${text}Z` : text;
  const time = parseTime(padded);
  if (time === null) throw new DhowError("invalid", `failed to parse value as time or duration: ${JSON.stringify(text)}`);
  return time;
}

/** POST /containers/prune: removes what doesn't run. @throws invalid for unknown filters */
export async function pruneContainers(
  deps: ContainerDeps,
  list: Pick<ListDeps, "sizes">,
  filters: Filters,
): Promise<{ readonly ContainersDeleted: string[] | null; readonly SpaceReclaimed: number }> {
  for (const key of Object.keys(filters)) if (!KNOWN.has(key)) throw new DhowError("invalid", `invalid filter '${key}'`);
  const untils = filters["until"] ?? [];
  if (untils.length > 1) throw new DhowError("invalid", "more than one until filter specified");
  const until = untils[0] === undefined ? undefined : parseUntil(untils[0]);
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
