import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { dirname } from "node:path";
import { errnoCode } from "../../lib/mod.ts";
import type { HostFacts } from "../host.ts";
import { removeGroups, writeCgroupFile } from "./cgroup-files.ts";

/**
 * Where containers' groups go when nothing else is asked for: at the top, as dockerd's driver `cgroupfs` has it. Not below the service
 * that systemd runs the daemon in, though that one is delegated: on v2 a group whose children have controllers takes no processes, so
 * systemd could not start the daemon again while containers run.
 */
export const DEFAULT_CGROUP_PARENT = "/dhow";

/**
 * The group of a container: below `--cgroup-parent`'s directory when the container names one, else `/dhow/<daemon>`, so that two
 * daemons never meet. A name that climbs out by `..` ends at the root, as with docker.
 */
export function cgroupsPathFor(
  id: string,
  options: { readonly daemonId: string; readonly parent?: string | undefined; readonly daemonParent?: string | undefined },
): string {
  const clean = (path: string): string => {
    const parts: string[] = [];
    for (const part of path.split("/")) {
      if (part === "..") parts.pop();
      else if (part !== "" && part !== ".") parts.push(part);
    }
    return parts.map((p) => `/${p}`).join("");
  };
  if (options.parent) return `${clean(options.parent)}/${id}`;
  return `${clean(options.daemonParent || DEFAULT_CGROUP_PARENT)}/${options.daemonId}/${id}`;
}

function roots(facts: HostFacts): string[] {
  const { v1, unified } = facts.cgroup;
  return [...new Set([...Object.values(v1), ...(unified === null ? [] : [unified])])];
}

/** The names of the groups right below `parent` in any hierarchy: at start, those that no container knows are left-overs. */
export function groupsIn(parent: string, facts: HostFacts): string[] {
  const names = new Set<string>();
  for (const root of roots(facts)) {
    try {
      for (const entry of readdirSync(`${root}${parent}`, { withFileTypes: true })) if (entry.isDirectory()) names.add(entry.name);
    } catch (error) {
      if (errnoCode(error) !== "ENOENT") throw error;
    }
  }
  return [...names];
}

/** The controllers whose limits hold for everything in a group. */
const SHARED_CONTROLLERS = ["memory", "cpu", "pids"];

/** Makes a group that other groups are to be in, where its limits can be set. @throws a `node:fs` error */
export function makeParent(path: string, { cgroup }: HostFacts): void {
  if (cgroup.version === 1) {
    for (const controller of SHARED_CONTROLLERS) {
      const root = cgroup.v1[controller];
      if (root !== undefined) mkdirSync(`${root}${path}`, { recursive: true });
    }
    return;
  }
  let group = cgroup.unified ?? "/sys/fs/cgroup";
  for (const level of path.split("/").slice(1)) {
    for (const controller of SHARED_CONTROLLERS) writeCgroupFile(`${group}/cgroup.subtree_control`, `+${controller}`);
    group = `${group}/${level}`;
    mkdirSync(group, { recursive: true });
  }
}

/**
 * Removes a daemon's own empty parent group, at its end, and `/dhow` when it was the last one; what has groups or processes in it stays.
 */
export function removeEmptyParent(parent: string, facts: HostFacts): void {
  for (const root of roots(facts)) {
    if (groupsIn(parent, facts).length === 0) removeGroups(`${root}${parent}`);
    if (dirname(parent) === DEFAULT_CGROUP_PARENT) removeEmpty(`${root}${DEFAULT_CGROUP_PARENT}`);
  }
}

function removeEmpty(group: string): void {
  try {
    rmdirSync(group);
  } catch (error) {
    if (!["ENOENT", "EBUSY", "ENOTEMPTY"].includes(errnoCode(error) ?? "")) throw error;
  }
}
