import { setTimeout as sleep } from "node:timers/promises";
import { DhowError } from "../lib/mod.ts";
import { claimName, type Fd, isErrno } from "../linux/mod.ts";

const CLAIM_RETRIES = 10;
const CLAIM_PAUSE_MS = 20;

/**
 * Takes a bridge's name for this daemon, until the descriptor is closed. One that has just ended may hold its claim for a moment more: by a
 * child between fork and exec. @throws conflict
 */
export async function claimBridge(name: string): Promise<Fd> {
  for (let attempt = 0; ; attempt++) {
    try {
      return claimName(`dhow/bridge/${name}`);
    } catch (cause) {
      if (!isErrno(cause, "EADDRINUSE")) throw cause;
      if (attempt < CLAIM_RETRIES) {
        await sleep(CLAIM_PAUSE_MS);
        continue;
      }
      throw new DhowError("conflict", `bridge ${JSON.stringify(name)} is in use by another daemon; choose another --bridge`, { cause });
    }
  }
}
