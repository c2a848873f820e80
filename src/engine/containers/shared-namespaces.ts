import { existsSync } from "node:fs";
import { join } from "node:path";
import { DhowError } from "../../lib/mod.ts";
import { joinedContainer, mountShm, unmountShm } from "../../runtime/mod.ts";
import type { ContainerDeps } from "./deps.ts";
import { namespacePath, runningDonor } from "./networking.ts";
import type { Container } from "./store.ts";
import type { StartingUserns } from "./userns.ts";

/** A start under way. */
export interface StartScope {
  /** What to do when the start fails. */
  readonly undo: AsyncDisposableStack;
  /** What is needed until the process runs. */
  readonly held: DisposableStack;
  readonly userns: StartingUserns | undefined;
}

/** Where the namespaces are that a container has in common with another one, or with the host. */
export interface SharedNamespaces {
  readonly ipcPath?: string;
  readonly pidPath?: string;
  readonly shmPath?: string;
  readonly mqueuePath?: string | null;
}

/** The host's message queues, if it has mounted them: a user namespace may not mount those of a namespace that isn't its own. */
function hostQueues(): string | null {
  return existsSync("/dev/mqueue") ? "/dev/mqueue" : null;
}

function shmDir(deps: ContainerDeps, id: string): string {
  return join(deps.settings.execRoot, "shm", id);
}

/**
 * What a container joins of others (`--ipc`, `--pid`); a shareable one's /dev/shm is made.
 * @throws internal when the other one doesn't run, invalid when it doesn't share
 */
export function sharedNamespaces(deps: ContainerDeps, { id, spec }: Container, { undo, held, userns }: StartScope): SharedNamespaces {
  const { IpcMode = "", PidMode = "", ShmSize = 0 } = spec.hostConfig;
  const pidDonor = joinedContainer(PidMode);
  const pid = pidDonor === undefined ? {} : { pidPath: namespacePath(deps, runningDonor(deps, pidDonor, "PID"), "pid", held) };
  const ipcDonor = joinedContainer(IpcMode);
  if (ipcDonor !== undefined) {
    const donor = runningDonor(deps, ipcDonor, "IPC");
    if (donor.spec.hostConfig.IpcMode !== "shareable") {
      throw new DhowError(
        "invalid",
        `failed to join IPC namespace: container ${donor.id}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
      );
    }
    return { ...pid, ipcPath: namespacePath(deps, donor, "ipc", held), shmPath: shmDir(deps, donor.id) };
  }
  if (IpcMode === "host" && spec.userns !== undefined) return { ...pid, mqueuePath: hostQueues() };
  if (IpcMode !== "shareable") return pid;
  const shmPath = shmDir(deps, id);
  undo.defer(() => releaseShm(deps, id));
  mountShm(shmPath, ShmSize, userns?.view.root);
  return { ...pid, shmPath };
}

/** Takes away what a shareable container's /dev/shm was on the host. */
export function releaseShm(deps: ContainerDeps, id: string): void {
  try {
    unmountShm(shmDir(deps, id));
  } catch (error) {
    deps.log.warn("/dev/shm could not be unmounted", { container: id, error });
  }
}
