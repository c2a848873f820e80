import type { HostConfig } from "../../spec/engine/mod.ts";

/** The container that `container:<ref>` names; undefined for every other mode. */
export function joinedContainer(mode: string | null | undefined): string | undefined {
  return mode?.startsWith("container:") ? mode.slice("container:".length) : undefined;
}

export const isHostMode = (mode: string | null | undefined): boolean => mode === "host";

/** Neither the host's nor another container's: the container has its own. */
export const isPrivateMode = (mode: string | null | undefined): boolean => !isHostMode(mode) && joinedContainer(mode) === undefined;

/** Whether docker takes `mode` for `--ipc`. */
export function isValidIpcMode(mode: string): boolean {
  return ["", "none", "private", "host", "shareable"].includes(mode) || joinedContainer(mode) !== undefined;
}

/** Whether docker takes `mode` for `--pid`. */
export function isValidPidMode(mode: string): boolean {
  return mode === "" || mode === "host" || (joinedContainer(mode) ?? "") !== "";
}

/** Whether other containers may join this one's IPC namespace. @see docker run --ipc */
export const isIpcShareable = (config: HostConfig): boolean => config.IpcMode === "shareable";
