import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Defect, errnoCode } from "../../lib/mod.ts";
import { O_NONBLOCK, O_RDWR, open, pidfdOpen, read } from "../../linux/mod.ts";
import { BUNDLE, endGroup, endProcess, isHeld, openRecorded, readExit } from "./holder.ts";
import type { RuntimeCommand } from "./runtimes.ts";
import { hasOtherClocks, inTimeNamespaceOf } from "./time-namespace.ts";

const HOLDER_POLL_MS = 5;
const HOLDER_WAIT_MS = 2000;

/** The pid of a container's init as the runtime's state has it; undefined when there is none. */
export function pidFromState(command: RuntimeCommand, id: string): number | undefined {
  for (const [file, key] of [
    ["status", "pid"],
    ["state.json", "init_process_pid"],
  ] as const) {
    try {
      const state: unknown = JSON.parse(readFileSync(join(command.root, id, file), "utf8"));
      if (typeof state === "object" && state !== null && key in state) return Number((state as Record<string, unknown>)[key]);
    } catch {
      // the runtime has not come so far
    }
  }
  return undefined;
}

/** Kills what is left of a container whose runtime was killed, and removes the runtime's state. */
export async function removeLeftOver(command: RuntimeCommand, id: string, timeoutMs: number): Promise<void> {
  const pid = pidFromState(command, id);
  if (pid === undefined) return;
  const line = hasOtherClocks(pid) ? inTimeNamespaceOf(pid, command.delete(id)) : command.delete(id);
  const child = Bun.spawn(line, { stdio: ["ignore", "ignore", "ignore"], env: {}, detached: true });
  using pidfd = pidfdOpen(child.pid);
  const timer = setTimeout(() => endGroup({ pid: child.pid, pidfd: pidfd.fd }), timeoutMs);
  await child.exited;
  clearTimeout(timer);
  // what it leaves would be in the way of the next start; the processes are in the container's cgroup, and end with that
  rmSync(join(command.root, id), { recursive: true, force: true });
}

/** States of runtimes that are of no run. */
export function strayStates(commands: readonly RuntimeCommand[], isOfRun: (id: string) => boolean, timeoutMs: number): Defect[] {
  // a runtime that ended well has removed its state
  return commands.flatMap((command) => {
    const stray = entries(command.root).filter((id) => !isOfRun(id));
    return stray.map((id) => ({
      what: `state ${join(command.root, id)} of the runtime is of no run`,
      owner: id,
      mend: async () => {
        await removeLeftOver(command, id, timeoutMs);
        rmSync(join(command.root, id), { recursive: true, force: true });
      },
    }));
  });
}

/** Bundles of containers that nobody knows. */
export function strayBundles(root: string, isKnown: (id: string) => boolean, cleanUp: (id: string) => void): Defect[] {
  const stray = entries(root).filter((id) => !isKnown(id));
  return stray.map((id) => ({
    what: `bundle ${join(root, id)} is of no container`,
    owner: id,
    mend: async () => {
      await letGo(join(root, id));
      cleanUp(id);
    },
  }));
}

/** Directories of execs that nobody starts. */
export function strayExecs(root: string, isStarting: (id: string) => boolean): Defect[] {
  const stray = entries(root).filter((id) => !isStarting(id));
  return stray.map((id) => ({
    what: `${join(root, id)} is of no exec`,
    mend: () => rmSync(join(root, id), { recursive: true, force: true }),
  }));
}

/** What ran is killed already: waits for the runtime's end, so that it leaves nothing, and lets the holder go. */
async function letGo(dir: string): Promise<void> {
  const holder = await findHolder(dir);
  if (holder === undefined) return;
  await exitSoon(dir);
  endProcess(holder.pidfd.fd);
  holder.pidfd.close();
}

/** Whether the runtime wrote a pid to the control FIFO that nobody has read; looks at it without keeping it. */
export function hasPid(dir: string): boolean {
  using control = open(join(dir, BUNDLE.control), O_RDWR | O_NONBLOCK);
  const buffer = Buffer.alloc(32);
  return read(control.fd, buffer) > 0 && /^\d/.test(buffer.toString("latin1"));
}

/** A holder may be so young that it has not written its pid. */
export async function findHolder(dir: string): Promise<ReturnType<typeof openRecorded>> {
  for (let waitedMs = 0; ; waitedMs += HOLDER_POLL_MS) {
    const holder = openRecorded(dir, BUNDLE.holder);
    if (holder !== undefined || waitedMs >= HOLDER_WAIT_MS || !isHeld(dir)) return holder;
    await Bun.sleep(HOLDER_POLL_MS);
  }
}

/** The exit of a runtime that is about to end; undefined when it takes too long. */
export async function exitSoon(dir: string): Promise<ReturnType<typeof readExit>> {
  for (let waitedMs = 0; ; waitedMs += HOLDER_POLL_MS) {
    const exit = readExit(dir);
    if (exit !== undefined || waitedMs >= HOLDER_WAIT_MS) return exit;
    await Bun.sleep(HOLDER_POLL_MS);
  }
}

function entries(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return [];
    throw error;
  }
}
