import type { Joiners } from "../../network/mod.ts";
import { joinedContainer } from "../../runtime/mod.ts";
import { isRunning, networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import type { Container } from "./store.ts";

/** The id of the container that the network is of which a container is in: itself, whom it joined, or whom that one joined. */
export function networkOwner({ store }: Pick<ContainerDeps, "store">, container: Container): string {
  const seen = new Set<string>();
  let owner: Container | undefined = container;
  let id = container.id;
  // two that name each other join nobody
  while (owner !== undefined && !seen.has(id)) {
    seen.add(id);
    const ref = joinedContainer(networkMode(owner.spec.hostConfig));
    if (ref === undefined) break;
    owner = store.tryFind(ref);
    id = owner?.id ?? ref;
  }
  return id;
}

/** The containers that are in others' networks; whose is what the kernel tells, for who they joined may be gone, or have another by now. */
export function networkJoiners({ store, live }: Pick<ContainerDeps, "store" | "live">): Joiners {
  const joiners = store.list().filter(({ spec }) => joinedContainer(networkMode(spec.hostConfig)) !== undefined);
  return {
    pids: joiners.filter(({ state }) => isRunning(state)).map(({ state }) => state.pid),
    isComplete: joiners.every(({ id }) => live.peek(id)?.starting === undefined),
  };
}
