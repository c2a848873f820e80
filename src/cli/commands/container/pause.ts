import { command, minArgs } from "../../command.ts";
import { forAllArgs } from "../../each.ts";

export const pause = command({
  use: "CONTAINER [CONTAINER...]",
  short: "Pause all processes within one or more containers",
  aliases: ["container pause", "pause"],
  args: minArgs(1),
  flags: {},
  run: (ctx, args) => forAllArgs(ctx, args, (ref) => ctx.api.lifecycle.pause(ref)),
});

export const unpause = command({
  use: "CONTAINER [CONTAINER...]",
  short: "Unpause all processes within one or more containers",
  aliases: ["container unpause", "unpause"],
  args: minArgs(1),
  flags: {},
  run: (ctx, args) => forAllArgs(ctx, args, (ref) => ctx.api.lifecycle.unpause(ref)),
});
