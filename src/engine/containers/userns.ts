import { statSync } from "node:fs";
import { dirname } from "node:path";
import { DhowError } from "../../lib/mod.ts";
import { Fd, type IdView, isErrno, makeUserNamespaces, withFsIds } from "../../linux/mod.ts";
import { areSameMappings, hostOwner, hostRoot, type IdMappings, mapText, type ResolvedUser } from "../../runtime/mod.ts";
import { networkMode } from "./container.ts";
import type { ContainerDeps } from "./deps.ts";
import { openNamespace, runningDonor } from "./networking.ts";
import type { Container } from "./store.ts";
import { sharedWith } from "./userns-mappings.ts";

/** The user namespace of a container that is being started. */
export interface StartingUserns {
  readonly mappings: IdMappings;
  /** Its files in the namespace's ids. */
  readonly view: IdView;
  /** For the runtime; good as long as what the namespace was opened with. */
  readonly path: string;
  /** A new network namespace that belongs to it, to be taken once; ends with the start when nobody took it. */
  readonly netns: Fd | undefined;
}

/**
 * Makes the user namespace of a container that has a mapping, or opens that of the containers whose namespaces it shares.
 * `held` has to live until it runs.
 * @throws conflict when such a container has another mapping or doesn't run
 */
export async function openUserns(deps: ContainerDeps, container: Container, held: DisposableStack): Promise<StartingUserns | undefined> {
  const { userns: mappings, hostConfig } = container.spec;
  if (mappings === undefined) return undefined;
  const isOnNetwork = !networkMode(hostConfig).startsWith("container:");
  let userns = donorUserns(deps, container, mappings, held);
  let netns: Fd | undefined;
  if (userns === undefined || isOnNetwork) {
    const maps = { uidMap: mapText(mappings.uids), gidMap: mapText(mappings.gids) };
    const made = held.use(await (userns === undefined ? deps.usernsPool.take(maps) : makeUserNamespaces({ userns })));
    userns = made.userns;
    netns = isOnNetwork ? made.netns : undefined;
  }
  return { mappings, view: { userns, root: hostRoot(mappings) }, path: `/proc/${process.pid}/fd/${userns.fd}`, netns };
}

function donorUserns(deps: ContainerDeps, { spec }: Container, mappings: IdMappings, held: DisposableStack): Fd | undefined {
  let found: Fd | undefined;
  let first = "";
  for (const ref of sharedWith(spec.hostConfig)) {
    const donor = runningDonor(deps, ref, "user");
    if (donor.spec.userns === undefined || !areSameMappings(donor.spec.userns, mappings)) {
      throw new DhowError("conflict", `cannot share namespaces of container ${donor.id}: it has another user namespace mapping`);
    }
    if (found !== undefined && first !== donor.id) {
      throw new DhowError(
        "conflict",
        `cannot share namespaces of containers ${first} and ${donor.id}: each has a user namespace of its own`,
      );
    }
    found ??= openNamespace(deps, donor, "user", held);
    first = donor.id;
  }
  return found;
}

/** Takes the network namespace away from the start. */
export function takeNetns(userns: StartingUserns | undefined): Fd | undefined {
  return userns?.netns === undefined ? undefined : new Fd(userns.netns.release());
}

/** Does what makes files in a container's root file system: as root of its user namespace, if it has one. `work` must not await. */
export function asContainerRoot<T>(userns: { readonly view: IdView } | undefined, work: () => T): T {
  return userns === undefined ? work() : withFsIds(userns.view.root, work);
}

/** Whoever the runtime is in a user namespace has to come to the root file system. @throws invalid as dockerd for its own root */
function checkPassage(path: string): void {
  for (let dir = path; dir !== "/"; dir = dirname(dir)) {
    if ((statSync(dir).mode & 0o001) === 0)
      throw new DhowError(
        "invalid",
        `a user namespace's ids can't pass through ${dir} to ${path}; please fix by allowing 'o+x' permissions on it`,
      );
  }
}

/** Mounts the root file system. @throws unsupported on a host that can't show the image's files in other ids */
export function mountRootfs(deps: ContainerDeps, id: string, userns: StartingUserns | undefined): string {
  if (userns !== undefined) checkPassage(deps.settings.execRoot);
  try {
    return deps.roots.use(id, userns?.view);
  } catch (cause) {
    if (userns === undefined || !isErrno(cause, "EINVAL", "ENOSYS", "EOPNOTSUPP")) throw cause;
    const why =
      "a user namespace needs idmapped mounts, which this kernel (overlays of them: Linux 5.19) or the data root's file system lacks";
    throw new DhowError("unsupported", why, { cause });
  }
}

/** What a process of a container is started with besides its specification: who it is on the host, and where it finds its clock. */
export function processScope(
  { spec, state }: Container,
  user: ResolvedUser,
): { owner?: { uid: number; gid: number }; timeNamespaceOf?: number } {
  return {
    ...(spec.userns === undefined ? {} : { owner: hostOwner(spec.userns, user) }),
    ...(spec.timeOffsets === undefined ? {} : { timeNamespaceOf: state.pid }),
  };
}
