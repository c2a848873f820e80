import { command, minArgs } from "../../command.ts";
import { forEachArg } from "../../each.ts";

export const socketRm = command({
  use: "SOCKET [SOCKET...]",
  short: "Remove one or more scoped sockets; what was made through them stays",
  aliases: ["socket rm", "socket remove"],
  args: minArgs(1),
  flags: {},
  run: (ctx, names) =>
    forEachArg(names, async (name) => {
      await ctx.api.sockets.remove(name);
      ctx.out(name);
    }),
});
