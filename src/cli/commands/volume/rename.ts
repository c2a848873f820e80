import { command, exactArgs } from "../../command.ts";

export const volumeRename = command({
  use: "VOLUME NEW_NAME",
  short: "Rename a volume that no container has",
  isOwn: true,
  args: exactArgs(2),
  flags: {},
  run: async (ctx, [name = "", to = ""]) => {
    await ctx.api.volumeContents.rename(name, to);
    ctx.out(to);
  },
});
