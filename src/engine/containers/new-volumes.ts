import { appendFileSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errnoCode } from "../../lib/mod.ts";
import type { Volumes } from "../../volumes/mod.ts";

/** In a container's directory while it is being created: the names of the volumes made for it, one per line. */
const FILE = "new-volumes";

/** Notes that a volume is about to be made for a container in the making; a daemon that dies now takes it away at its next start. */
export function noteVolume(containerDir: string, name: string): void {
  appendFileSync(join(containerDir, FILE), `${name}\n`, { mode: 0o600 });
}

/** The container exists, or never will: what was noted for it is nobody's concern any longer. */
export function forgetNoted(containerDir: string): void {
  rmSync(join(containerDir, FILE), { force: true });
}

/** Removes the volumes that were made for a container whose creation never ended, unless others have begun to use them. */
export async function removeNoted(containerDir: string, volumes: Volumes): Promise<void> {
  let text = "";
  try {
    text = readFileSync(join(containerDir, FILE), "utf8");
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
  }
  for (const name of text.split("\n")) {
    if (name !== "" && volumes.references(name).length === 0) await volumes.remove(name, { force: true });
  }
}
