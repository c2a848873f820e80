import type { StartOptions } from "../../../spec/engine/mod.ts";
import { command, ExitError, minArgs } from "../../command.ts";
import type { Context } from "../../context.ts";
import { errorText } from "../../error-text.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { orSetting } from "../../settings.ts";
import { followSize, runSession } from "../../terminal/session.ts";
import { proxySignals } from "../../terminal/signals.ts";
import { isStdinTerminal } from "../../terminal/stdin.ts";

interface AttachFlags {
  readonly interactive: boolean;
  readonly "detach-keys": string;
  readonly checkpoint: string;
  readonly "checkpoint-dir": string;
}

type CheckpointFlags = Pick<AttachFlags, "checkpoint" | "checkpoint-dir">;

function startOptions({ checkpoint, "checkpoint-dir": checkpointDir }: CheckpointFlags): StartOptions {
  return { checkpoint: checkpoint || undefined, checkpointDir: checkpointDir || undefined };
}

async function startAttached(ctx: Context, ref: string, flags: AttachFlags): Promise<number> {
  const { lifecycle, streams, containers } = ctx.api;
  const { Id = ref, Config, HostConfig } = await containers.inspect(ref, { size: false });
  const tty = Config?.Tty === true;
  const stdin = flags.interactive && Config?.OpenStdin === true;
  if (stdin && tty && !isStdinTerminal()) throw new ExitError(1, "the input device is not a TTY");
  const endProxy = tty ? () => {} : proxySignals((signal) => lifecycle.kill(Id, signal));
  let endResize = () => {};
  try {
    const detachKeys = orSetting(ctx, "detachKeys", flags["detach-keys"]) || undefined;
    const session = await ctx.api.attach(Id, { logs: false, stream: true, stdin, stdout: true, stderr: true, detachKeys, tty });
    const ended = runSession(ctx, session, { tty, stdin, detachKeys });
    ended.catch(() => {});
    const { exit } = await lifecycle.wait(Id, HostConfig?.AutoRemove ? "removed" : "next-exit", {});
    await lifecycle.start(Id, startOptions(flags));
    if (tty) endResize = followSize(ctx, (size) => streams.resize(Id, size));
    if ((await ended) === "detached") throw new ExitError(1, "read escape sequence");
    return (await exit).StatusCode ?? 0;
  } finally {
    endResize();
    endProxy();
  }
}

export const start = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Start one or more stopped containers",
  aliases: ["container start", "start"],
  args: minArgs(1),
  flags: {
    checkpoint: { kind: STRING, help: "Restore from this checkpoint" },
    "checkpoint-dir": { kind: STRING, help: "Use a custom checkpoint storage directory" },
    attach: { kind: BOOLEAN, short: "a", help: "Attach STDOUT/STDERR and forward signals" },
    "detach-keys": { kind: STRING, help: "Override the key sequence for detaching a container" },
    interactive: { kind: BOOLEAN, short: "i", help: "Attach container's STDIN" },
  },
  run: async (ctx, args, flags) => {
    if (flags.attach || flags.interactive) {
      if (args.length > 1) throw new ExitError(1, "you cannot start and attach multiple containers at once");
      return startAttached(ctx, args[0] ?? "", flags);
    }
    if (flags.checkpoint) {
      if (args.length > 1) throw new ExitError(1, "you cannot restore multiple containers at once");
      await ctx.api.lifecycle.start(args[0] ?? "", startOptions(flags));
      return 0;
    }
    const failed: string[] = [];
    for (const ref of args) {
      try {
        await ctx.api.lifecycle.start(ref, {});
        ctx.out(ref);
      } catch (error) {
        ctx.warn(errorText(error));
        failed.push(ref);
      }
    }
    if (failed.length > 0) throw new ExitError(1, `Error: failed to start containers: ${failed.join(", ")}`);
    return 0;
  },
});
