import { command, minArgs } from "../../command.ts";
import { forEachArg } from "../../each.ts";

export const wait = command({
  use: "CONTAINER [CONTAINER...]",
  short: "Block until one or more containers stop, then print their exit codes",
  aliases: ["container wait", "wait"],
  args: minArgs(1),
  flags: {},
  run: (ctx, args) =>
    forEachArg(args, async (ref) => {
      const { exit } = await ctx.api.lifecycle.wait(ref, "not-running", {});
      const { StatusCode = 0, Error: failure } = await exit;
      if (failure?.Message) throw new Error(failure.Message);
      ctx.out(String(StatusCode));
    }),
});
