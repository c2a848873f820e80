/** The limits that `--ulimit` knows. @see getrlimit(2) */
export const ULIMIT_NAMES: ReadonlySet<string> = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" "),
);

/** The settings that every IPC namespace has for itself, those of `fs.mqueue` aside. @see ipc_namespaces(7) */
export const IPC_SYSCTLS: ReadonlySet<string> = new Set(
  ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"].map((name) => `kernel.${name}`),
);
