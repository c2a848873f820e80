import { statSync } from "node:fs";
import { type Fd, makeUserNamespaces } from "../../linux/mod.ts";
import { hostRoot, ownerOutside, type ResolvedUser } from "../../runtime/mod.ts";
import { ensureSource, idMapsOf, parseIdMapping } from "../../volumes/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import type { Container } from "./store.ts";

/**
 * The user namespaces that binds with an `idmap` are shown in, by destination; undefined when there are none. Nobody is ever in them: they
 * only say who is who, and are needed until the mounts are made. @throws invalid, unavailable
 */
export async function openIdmaps(
  deps: Pick<ContainerDeps, "log">,
  { id, spec }: Container,
  user: ResolvedUser,
  held: DisposableStack,
): Promise<ReadonlyMap<string, Fd> | undefined> {
  const mounts = spec.mounts.filter(({ idmap }) => idmap !== undefined);
  if (mounts.length === 0) return undefined;
  const { userns } = spec;
  const owner = userns === undefined ? { uid: user.uid, gid: user.gid } : ownerOutside(userns, user);
  const opened = new Map<string, Fd>();
  for (const m of mounts) {
    ensureSource(m, userns && { root: hostRoot(userns) });
    const { uid, gid } = statSync(m.source);
    const maps = idMapsOf(parseIdMapping(m.idmap ?? ""), { uid, gid }, owner);
    deps.log.debug("map the ids of a mount", { container: id, destination: m.destination, ...maps });
    opened.set(m.destination, held.use(await makeUserNamespaces(maps)).userns);
  }
  return opened;
}
