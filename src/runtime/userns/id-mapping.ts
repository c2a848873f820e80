import { DhowError } from "../../lib/mod.ts";
import type { Owner } from "../../linux/mod.ts";
import type { OciIdMapping } from "../../spec/oci-runtime/mod.ts";

/** What users and groups of a user namespace are on the host. @see user_namespaces(7) */
export interface IdMappings {
  readonly uids: readonly OciIdMapping[];
  readonly gids: readonly OciIdMapping[];
}

/** @see /proc/sys/kernel/overflowuid in proc_sys_kernel(5) */
const OVERFLOW_ID = 65534;

/** What user or group `id` of the namespace is on the host; undefined when it is nobody there. */
export function hostId(mappings: readonly OciIdMapping[], id: number): number | undefined {
  const range = mappings.find((m) => id >= m.containerID && id < m.containerID + m.size);
  return range === undefined ? undefined : range.hostID + (id - range.containerID);
}

/** What an owner of the namespace is on the host; who is not mapped counts as the namespace's first id. */
export function hostOwner(mappings: IdMappings, owner: Owner): Owner {
  const first = (ranges: readonly OciIdMapping[]): number => ranges[0]?.hostID ?? 0;
  return { uid: hostId(mappings.uids, owner.uid) ?? first(mappings.uids), gid: hostId(mappings.gids, owner.gid) ?? first(mappings.gids) };
}

/** What an owner of the namespace is on the host. @throws internal for who isn't mapped, in docker's words */
export function ownerOutside(mappings: IdMappings, owner: Owner): Owner {
  return { uid: idOutside(mappings.uids, owner.uid), gid: idOutside(mappings.gids, owner.gid) };
}

function idOutside(mappings: readonly OciIdMapping[], id: number): number {
  const outside = hostId(mappings, id);
  if (outside === undefined) throw new DhowError("internal", `Container ID ${id} cannot be mapped to a host ID`);
  return outside;
}

/** Who an owner on the host is in the namespace; `nobody` is who isn't mapped, as the kernel tells it. */
export function ownerInside(mappings: IdMappings, owner: Owner): Owner {
  return { uid: idInside(mappings.uids, owner.uid), gid: idInside(mappings.gids, owner.gid) };
}

function idInside(mappings: readonly OciIdMapping[], id: number): number {
  const range = mappings.find((m) => id >= m.hostID && id < m.hostID + m.size);
  return range === undefined ? OVERFLOW_ID : range.containerID + (id - range.hostID);
}

/** What root of the namespace is on the host. */
export function hostRoot(mappings: IdMappings): Owner {
  return hostOwner(mappings, { uid: 0, gid: 0 });
}

/** How many ids from 0 on a namespace has without a gap. */
export function idsFromZero(mappings: readonly OciIdMapping[]): number {
  let next = 0;
  for (const m of sorted(mappings)) if (m.containerID === next) next += m.size;
  return next;
}

/** Whether two namespaces with these mappings are the same to the host. */
export function areSameMappings(a: IdMappings, b: IdMappings): boolean {
  return mapText(sorted(a.uids)) === mapText(sorted(b.uids)) && mapText(sorted(a.gids)) === mapText(sorted(b.gids));
}

/** The text for `/proc/<pid>/uid_map` or `gid_map`. */
export function mapText(mappings: readonly OciIdMapping[]): string {
  return mappings.map((m) => `${m.containerID} ${m.hostID} ${m.size}\n`).join("");
}

function sorted(mappings: readonly OciIdMapping[]): OciIdMapping[] {
  return [...mappings].sort((a, b) => a.containerID - b.containerID);
}
