import { command, minArgs } from "../../command.ts";
import { forAllArgs } from "../../each.ts";
import { STRING } from "../../flag-kinds.ts";

export const kill = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Kill one or more running containers",
  aliases: ["container kill", "kill"],
  args: minArgs(1),
  flags: { signal: { kind: STRING, short: "s", help: "Signal to send to the container" } },
  run: (ctx, args, flags) => forAllArgs(ctx, args, (ref) => ctx.api.lifecycle.kill(ref, flags.signal)),
});
