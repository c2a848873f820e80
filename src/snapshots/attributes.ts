import type { Attributes } from "../files/mod.ts";
import { type FileStat, S_IFCHR, S_IFMT } from "../linux/mod.ts";

/** The attributes of a directory that nobody described. */
export function impliedAttributes(): Attributes {
  const nowNs = BigInt(Date.now()) * 1_000_000n;
  return { mode: 0o755, uid: 0, gid: 0, atimeNs: nowNs, mtimeNs: nowNs };
}

/** Whether a file is overlayfs' mark for "nothing here". */
export function isWhiteout(stat: FileStat): boolean {
  return (stat.mode & S_IFMT) === S_IFCHR && stat.rdev === 0;
}
