import { fstatSync } from "node:fs";

/** Device numbers of terminals: console and virtual ones, serial ones, pseudo-terminals. */
const TERMINAL_MAJORS = new Set([4, 5, 136, 137, 138, 139, 140, 141, 142, 143, 188, 204, 229]);
const MAJOR_SHIFT = 8;
const MAJOR_MASK = 0xfff;

/** Whether a descriptor is a terminal. By its device number: `node:tty` takes longer to load than many a command to run. */
export function isTerminal(fd: number): boolean {
  try {
    const stat = fstatSync(fd);
    return stat.isCharacterDevice() && TERMINAL_MAJORS.has((stat.rdev >> MAJOR_SHIFT) & MAJOR_MASK);
  } catch {
    return false;
  }
}
