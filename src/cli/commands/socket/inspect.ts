import { command, minArgs } from "../../command.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

export const socketInspect = command({
  use: "[OPTIONS] SOCKET [SOCKET...]",
  short: "Display detailed information on one or more scoped sockets",
  args: minArgs(1),
  flags: { format: INSPECT_FORMAT },
  run: (ctx, names, { format }) => inspectAll(ctx, names, format, async (name) => JSON.stringify(await ctx.api.sockets.inspect(name))),
});
