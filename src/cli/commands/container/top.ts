import { command, minArgs } from "../../command.ts";
import { alignColumns } from "../../format/tabwriter.ts";

export const top = command({
  use: "CONTAINER [ps OPTIONS]",
  short: "Display the running processes of a container",
  aliases: ["container top", "top"],
  args: minArgs(1),
  isInterspersed: false,
  flags: {},
  run: async (ctx, [ref = "", ...psArgs]) => {
    const { Titles, Processes } = await ctx.api.streams.top(ref, psArgs.join(" "));
    const lines = [Titles ?? [], ...(Processes ?? [])].map((cells) => `${(cells ?? []).join("\t")}\n`);
    ctx.stdout.write(alignColumns(lines.join(""), { minWidth: 20, padding: 3 }));
  },
});
