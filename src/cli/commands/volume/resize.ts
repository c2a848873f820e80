import { command, exactArgs } from "../../command.ts";

export const volumeResize = command({
  use: "VOLUME SIZE",
  short: "Change how much a volume can hold that was made with --opt size=",
  isOwn: true,
  args: exactArgs(2),
  flags: {},
  run: async (ctx, [name = "", size = ""]) => {
    await ctx.api.volumeContents.resize(name, size);
    ctx.out(name);
  },
});
