import { spawn } from "node:child_process";
import { constants } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { isKind } from "../../../lib/mod.ts";
import type { Lease, LeasesApi } from "../../../spec/engine/mod.ts";
import { command, ExitError, minArgs } from "../../command.ts";
import { DURATION_TEXT, STRING } from "../../flag-kinds.ts";

const RETRY_MS = 500;

/** Ends on the terminal's signals by the command's own end, not by ours. */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}

/**
 * Holds a lease by a connection, which goes with this process, whatever becomes of that; one that breaks is opened again, since the
 * engine may have been restarted. Resolves once it is held.
 */
async function keepHeld(leases: LeasesApi, id: string, signal: AbortSignal): Promise<void> {
  const open = async (): Promise<AsyncIterator<Lease>> => {
    const held = (await leases.hold(id, { signal }))[Symbol.asyncIterator]();
    await held.next();
    return held;
  };
  let held = await open();
  const reopen = async (): Promise<boolean> => {
    while (!signal.aborted) {
      await sleep(RETRY_MS, undefined, { signal }).catch(() => {});
      try {
        held = await open();
        return true;
      } catch (error) {
        if (isKind(error, "notFound")) return false;
      }
    }
    return false;
  };
  const follow = async (): Promise<void> => {
    do {
      try {
        await held.next();
        return;
      } catch {
        // the connection broke
      }
    } while (await reopen());
  };
  void follow();
}

export const leaseRun = command({
  use: "[OPTIONS] COMMAND [ARG...]",
  short: "Run a command on this machine, and remove what it made when it ends",
  long: "Run a command on this machine with DHOW_LEASE set: what dhow makes for it is removed when the command ends, however it ends",
  args: minArgs(1),
  isInterspersed: false,
  flags: {
    name: { kind: STRING, help: "Name of the lease" },
    ttl: { kind: DURATION_TEXT, help: "End the lease after this time at the latest (e.g. 10m)" },
  },
  run: async (ctx, [program = "", ...args], { name, ttl }) => {
    const { leases } = ctx.api;
    const lease = await leases.create({ Name: name, TTL: ttl, Hold: true });
    const holding = new AbortController();
    await keepHeld(leases, lease.Id, holding.signal);
    const child = spawn(program, args, { stdio: "inherit", env: { ...ctx.env, DHOW_LEASE: lease.Id } as NodeJS.ProcessEnv });
    const forward = (signal: NodeJS.Signals): void => void child.kill(signal);
    for (const signal of FORWARDED) process.on(signal, forward);
    try {
      const code = await new Promise<number>((resolve, reject) => {
        child.on("error", reject);
        child.on("exit", (exit, signal) => resolve(exitCodeOf(exit, signal)));
      });
      await leases.remove(lease.Id, { keep: false });
      return code;
    } catch (error) {
      await leases.remove(lease.Id, { keep: false }).catch(() => {});
      const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
      throw isMissing ? new ExitError(127, `${ctx.name}: ${program}: command not found`) : error;
    } finally {
      for (const signal of FORWARDED) process.off(signal, forward);
      holding.abort();
    }
  },
});
