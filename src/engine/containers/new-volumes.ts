import { appendFileSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { errnoCode } from "../../lib/mod.ts";
import { askingMountPoints } from "../../linux/mod.ts";
import { type ContainerMount, finishCopyUp, isElsewhere, type Volumes } from "../../volumes/mod.ts";

/** In a container's directory while it is being created: the names of the volumes made for it, one per line. */
const FILE = "new-volumes";
/** The same of volumes that were there before and may be filled with the image's content: JSON of the name and the part of it, one per line. */
const FILLED_FILE = "filled-volumes";

/** Notes that a volume is about to be made for a container in the making; a daemon that dies now takes it away at its next start. */
export function noteVolume(containerDir: string, name: string): void {
  appendFileSync(join(containerDir, FILE), `${name}\n`, { mode: 0o600 });
}

/** Notes that an image's content may be copied to a volume; a daemon that dies meanwhile finishes it or takes it back at its next start. */
export function noteFilling(containerDir: string, { volume, subpath }: Pick<ContainerMount, "volume" | "subpath">): void {
  appendFileSync(join(containerDir, FILLED_FILE), `${JSON.stringify([volume, subpath])}\n`, { mode: 0o600 });
}

/** The container exists, or never will: what was noted for it is nobody's concern any longer. */
export function forgetNoted(containerDir: string): void {
  for (const file of [FILE, FILLED_FILE]) rmSync(join(containerDir, file), { force: true });
}

/**
 * Removes the volumes that were made for a container whose creation never ended, unless others have begun to use them, and finishes or takes
 * back what was being copied to others.
 */
export async function removeNoted(containerDir: string, volumes: Volumes): Promise<void> {
  for (const name of linesIn(join(containerDir, FILE))) {
    if (volumes.references(name).length === 0) await volumes.remove(name, { force: true });
  }
  for (const line of linesIn(join(containerDir, FILLED_FILE))) {
    const [name, subpath] = parseNote(line);
    // one that is not in the data root may be a server's that is away
    const volume = volumes.tryGet(name);
    if (volume === undefined || (isElsewhere(volume) && askingMountPoints().length > 0)) continue;
    const user = `finish-${name}`;
    finishCopyUp(await volumes.use(name, user), subpath);
    await volumes.release(name, user);
  }
}

/** A line that was cut off is of a copy that had not begun. */
function parseNote(line: string): readonly [volume: string, subpath: string] {
  try {
    return JSON.parse(line);
  } catch {
    return ["", ""];
  }
}

function linesIn(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split("\n").filter(Boolean);
  } catch (error) {
    if (errnoCode(error) !== "ENOENT") throw error;
    return [];
  }
}
