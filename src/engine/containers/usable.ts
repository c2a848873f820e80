import { DhowError } from "../../lib/mod.ts";
import type { ContainerDeps, ContentsDeps } from "./deps.ts";
import type { Container } from "./store.ts";

/** @throws conflict in docker's words when the container is being removed, or a removal has failed */
export function checkUsable({ id, state }: Container, verb: "commit" | "export"): void {
  if (state.status === "dead") throw new DhowError("conflict", `You cannot ${verb} container ${id} which is Dead`);
  if (state.status === "removing") throw new DhowError("conflict", `You cannot ${verb} container ${id} which is being removed`);
}

/** @throws notFound when the container has gone since it was found by `ref` */
export function checkThere({ store }: Pick<ContainerDeps, "store">, container: Container, ref: string): void {
  if (store.get(container.id) !== container) throw new DhowError("notFound", `No such container: ${ref}`);
}

/** Keeps the layers that a container stands on, also when it is removed meanwhile; what nobody needs then goes at the end. */
export function holdLayers(deps: Pick<ContentsDeps, "store" | "images">, container: Container): AsyncDisposable {
  const { topLayer } = container.spec;
  const lease = deps.images.leases.hold(topLayer === null ? [] : [topLayer]);
  return {
    [Symbol.asyncDispose]: async () => {
      lease[Symbol.dispose]();
      if (deps.store.get(container.id) !== container) await deps.images.collectLayers();
    },
  };
}
