import { join } from "node:path";
import type { Daemon, Finished } from "../daemon.ts";

/** dhow's own command line, from the checkout. */
export const LAUNCHER = join(import.meta.dir, "../../../dhow");

/** dhow's own command line for volumes, and a look into one. */
export interface VolumeCommands {
  /** Runs `dhow volume …`. */
  readonly dhow: (...args: readonly string[]) => Promise<Finished>;
  /** The same for what has to succeed without a word on stderr. Returns what it printed. */
  readonly ok: (...args: readonly string[]) => Promise<string>;
  /** Runs a script with a volume at /v. */
  readonly sh: (volume: string, script: string) => Promise<string>;
  /** Removes all containers and volumes. */
  readonly removeAll: () => Promise<void>;
}

export function volumeCommands(daemon: Daemon): VolumeCommands {
  const dhow = (...args: readonly string[]): Promise<Finished> =>
    daemon.dockerWith({ cli: LAUNCHER }, "-H", daemon.host, "volume", ...args);
  return {
    dhow,
    ok: async (...args) => {
      const { stdout, stderr, exitCode } = await dhow(...args);
      if (exitCode !== 0 || stderr !== "") throw new Error(`dhow volume ${args.join(" ")}: exit code ${exitCode}: ${stderr}`);
      return stdout.trim();
    },
    sh: (volume, script) => daemon.ok("run", "--rm", "-v", `${volume}:/v`, "busybox", "sh", "-c", script),
    removeAll: async () => {
      await daemon.removeContainers();
      const names = (await daemon.ok("volume", "ls", "-q")).split("\n").filter(Boolean);
      if (names.length > 0) await daemon.ok("volume", "rm", ...names);
    },
  };
}
