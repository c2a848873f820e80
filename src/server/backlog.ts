import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { listenAgain } from "../linux/mod.ts";

/** As of other servers; the kernel takes no more than `net.core.somaxconn`. */
const BACKLOG = 4096;
/** In /proc/net/unix: a socket that is listened at. */
const LISTENING = "00010000";

/**
 * Lets more clients wait at a socket of this process that is listened at: Bun has room for 512, and a client that finds no room is refused at
 * once. @throws a `node:fs` error, {SysError} @see listen(2), unix(7)
 */
export function widenBacklog(path: string): void {
  const inodes = new Set<string>();
  for (const line of readFileSync("/proc/self/net/unix", "utf8").split("\n")) {
    const [, , , flags, , , inode, ...name] = line.trim().split(/\s+/);
    if (flags === LISTENING && name.join(" ") === path && inode !== undefined) inodes.add(`socket:[${inode}]`);
  }
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      if (!inodes.has(readlinkSync(`/proc/self/fd/${fd}`))) continue;
    } catch {
      // the directory's own descriptor
      continue;
    }
    listenAgain(Number(fd), BACKLOG);
  }
}
