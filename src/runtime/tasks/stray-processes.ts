import { readdirSync, readFileSync } from "node:fs";
import type { Defect } from "../../lib/mod.ts";
import { type Fd, pidfdOpen } from "../../linux/mod.ts";
import { endProcess } from "./holder.ts";

const END_POLL_MS = 5;
const END_WAIT_MS = 2000;
const ROLES = ["dhow-holder", "dhow-keeper"];

/** A process that this program started for a container's run. */
interface Helper {
  readonly id: string;
  readonly pid: number;
  readonly role: string;
}

/** Holders and keepers with bundles below `bundles`, of containers for which `isRun` is false. Their end is a SIGKILL. */
export function strayProcesses(bundles: string, isRun: (id: string) => boolean): Defect[] {
  const pids = readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 1);
  return pids
    .flatMap((pid) => helperOf(bundles, pid) ?? [])
    .filter(({ id }) => !isRun(id))
    .map(({ id, pid, role }) => ({
      what: `process ${pid} (${role}) is of no running container`,
      owner: id,
      mend: () => end(bundles, pid, id),
    }));
}

async function end(bundles: string, pid: number, id: string): Promise<void> {
  using pidfd = tryPidfd(pid);
  // looked at again now that the number can't become another's
  const isStill = (): boolean => helperOf(bundles, pid)?.id === id;
  if (pidfd === undefined || !isStill()) return;
  endProcess(pidfd.fd);
  for (let waitedMs = 0; isStill() && waitedMs < END_WAIT_MS; waitedMs += END_POLL_MS) await Bun.sleep(END_POLL_MS);
}

function helperOf(bundles: string, pid: number): Helper | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    const role = words.find((word) => ROLES.includes(word));
    const bundle = words.find((word) => word.startsWith(`${bundles}/`));
    return role === undefined || bundle === undefined ? undefined : { id: bundle.slice(bundles.length + 1).split("/")[0] ?? "", pid, role };
  } catch {
    // it has ended
    return undefined;
  }
}

function tryPidfd(pid: number): Fd | undefined {
  try {
    return pidfdOpen(pid);
  } catch {
    // it has ended
    return undefined;
  }
}
