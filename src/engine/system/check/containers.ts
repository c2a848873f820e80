import { errorMessage } from "../../../lib/mod.ts";
import { WHOLE_LOG } from "../../../runtime/mod.ts";
import {
  type Container,
  cgroupDefects,
  directoryDefects,
  mountDefects,
  processDefects,
  quarantineDefects,
  runDefects,
  snapshotDefects,
} from "../../containers/mod.ts";
import type { Check, CheckDeps, Problem } from "./check.ts";

const ASK = "look at the daemon's log for the reason, and try again";

/** The checks of containers: their rows, directories, snapshots, logs, and what their runs hold. */
export const containerChecks: readonly Check[] = [
  {
    id: "containers",
    text: "rows of containers",
    severity: "damage",
    repair: "writes the row again, or deletes that of no container",
    advice: "the database can't be written: look at the room on its disk",
    find: ({ containers }) => containers.store.defects(),
  },
  {
    id: "container-files",
    text: "directories of containers",
    severity: "leftover",
    repair: "deletes directories of no container, makes missing ones",
    advice: ASK,
    find: ({ containers }) => directoryDefects(containers),
  },
  {
    id: "root-file-systems",
    text: "writable layers of containers",
    severity: "damage",
    repair: "",
    advice: "what the container wrote is lost: remove it and create it again",
    find: lostSnapshots,
  },
  {
    id: "snapshots",
    text: "snapshots, drafts, short names and trash of the storage driver",
    severity: "leftover",
    repair: "deletes what is of nobody, makes missing short names again",
    advice: ASK,
    find: ({ containers }) => snapshotDefects(containers),
  },
  {
    id: "quarantine",
    text: "damaged layers that were put aside",
    severity: "leftover",
    repair: "deletes them",
    advice: ASK,
    find: ({ containers }) => quarantineDefects(containers),
  },
  {
    id: "logs",
    text: "logs of containers",
    severity: "damage",
    repair: "",
    advice: "what is in the log can't be read any more: dhow container logs --clear, or remove the container",
    find: unreadableLogs,
  },
  {
    id: "mounts",
    text: "mounts of root file systems",
    severity: "leftover",
    repair: "unmounts them",
    advice: ASK,
    find: ({ containers }) => mountDefects(containers),
  },
  {
    id: "runs",
    text: "bundles, runtime states, execs, shared memory and scratch",
    severity: "leftover",
    repair: "ends what runs there, and deletes it",
    advice: ASK,
    find: ({ containers }) => runDefects(containers),
  },
  {
    id: "processes",
    text: "processes that hold containers",
    severity: "leftover",
    repair: "ends them",
    advice: "end the process",
    find: ({ containers }) => processDefects(containers),
  },
  {
    id: "cgroups",
    text: "cgroups of containers",
    severity: "leftover",
    repair: "ends what runs in them, and removes them",
    advice: "a process in it can't be ended: look at its state (D: it waits for a disk or a file server)",
    find: ({ containers }) => cgroupDefects(containers),
  },
  {
    id: "user-namespaces",
    text: "ids kept for user namespaces",
    severity: "leftover",
    repair: "gives them back",
    advice: ASK,
    find: ({ containers }) => containers.userns.defects(),
  },
];

function lostSnapshots({ containers }: CheckDeps): Problem[] {
  const keys = new Set(containers.snapshots.keys());
  const lost = containers.store.list().filter(({ id, state }) => state.status !== "removing" && !keys.has(id));
  return lost.map(({ id }) => ({ what: `container ${id} has lost its root file system`, owner: id }));
}

/** Reads the last line of each log, or all of it. */
async function unreadableLogs({ containers }: CheckDeps, isDeep: boolean): Promise<Problem[]> {
  const found: Problem[] = [];
  for (const container of containers.store.list()) {
    if (containers.store.get(container.id) !== container || container.state.status === "removing") continue;
    const failure = await readLog({ containers }, container, isDeep);
    if (failure !== undefined && containers.store.get(container.id) === container)
      found.push({ what: `log of container ${container.id} can't be read: ${failure}`, owner: container.id });
  }
  return found;
}

async function readLog({ containers }: Pick<CheckDeps, "containers">, container: Container, isWhole: boolean): Promise<string | undefined> {
  try {
    const { driver } = containers.live.of(container).io.options;
    if (!driver.canRead) return undefined;
    for await (const _ of driver.read({ ...WHOLE_LOG, tail: isWhole ? -1 : 1 }));
    return undefined;
  } catch (error) {
    return errorMessage(error);
  }
}
