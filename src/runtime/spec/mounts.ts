import type { OciMount } from "../../spec/oci-runtime/mod.ts";

/** What decides the mounts that every container has. */
export interface DefaultMountsInput {
  readonly privileged: boolean;
  readonly writableCgroups: boolean;
  /** `private`, `shareable`, `host`, `none`, `container:…`. */
  readonly ipcMode: string;
  readonly shmSizeBytes: number;
  /** Directory to bind at /dev/shm instead of a file system of its own. */
  readonly shmPath?: string | undefined;
  /** What to bind at /dev/mqueue instead of a file system of its own; null for nothing. */
  readonly mqueuePath?: string | null | undefined;
}

function mqueue({ mqueuePath }: DefaultMountsInput): OciMount[] {
  if (mqueuePath === null) return [];
  if (mqueuePath !== undefined) return [{ destination: "/dev/mqueue", type: "bind", source: mqueuePath, options: ["rbind", "rprivate"] }];
  return [{ destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] }];
}

function shm(input: DefaultMountsInput): OciMount[] {
  if (input.ipcMode === "none") return [];
  if (input.shmPath !== undefined)
    return [{ destination: "/dev/shm", type: "bind", source: input.shmPath, options: ["rbind", "rprivate"] }];
  return [
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${input.shmSizeBytes}`],
    },
  ];
}

/** Docker's own mounts, in order. */
export function defaultMounts(input: DefaultMountsInput): OciMount[] {
  const ro = (writable: boolean): string[] => (writable ? [] : ["ro"]);
  return [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", ...ro(input.privileged)] },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: [...ro(input.writableCgroups), "nosuid", "noexec", "nodev"],
    },
    ...mqueue(input),
    ...shm(input),
  ];
}

/** The defaults that no user mount replaces (a user's /dev replaces everything below it), then the user's own. */
export function withUserMounts(defaults: readonly OciMount[], users: readonly OciMount[]): OciMount[] {
  const taken = new Set(users.map((m) => m.destination));
  const kept = defaults.filter((m) => !taken.has(m.destination) && !(taken.has("/dev") && m.destination.startsWith("/dev/")));
  return [...kept, ...users];
}

/** The root's propagation that the user's mounts need: a shared one needs a shared root, a slave one at least a slave. */
export function rootPropagation(mounts: readonly OciMount[]): string | undefined {
  const has = (...names: string[]): boolean => mounts.some((m) => m.options?.some((o) => names.includes(o)));
  if (has("shared", "rshared")) return "shared";
  if (has("slave", "rslave")) return "rslave";
  return undefined;
}
