import { command, minArgs } from "../../command.ts";
import { forAllArgs } from "../../each.ts";
import { INT, STRING } from "../../flag-kinds.ts";

const FLAGS = {
  signal: { kind: STRING, short: "s", help: "Signal to send to the container" },
  time: { kind: INT, alias: "timeout", help: "", deprecated: "use --timeout instead" },
  timeout: { kind: INT, short: "t", help: "Seconds to wait before killing the container" },
} as const;

export const stop = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Stop one or more running containers",
  aliases: ["container stop", "stop"],
  args: minArgs(1),
  flags: FLAGS,
  run: (ctx, args, flags, changed) =>
    forAllArgs(ctx, args, (ref) =>
      ctx.api.lifecycle.stop(ref, { signal: flags.signal || undefined, timeoutS: changed.has("timeout") ? flags.timeout : undefined }),
    ),
});

export const restart = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Restart one or more containers",
  aliases: ["container restart", "restart"],
  args: minArgs(1),
  flags: FLAGS,
  run: (ctx, args, flags, changed) =>
    forAllArgs(ctx, args, (ref) =>
      ctx.api.lifecycle.restart(ref, { signal: flags.signal || undefined, timeoutS: changed.has("timeout") ? flags.timeout : undefined }),
    ),
});
