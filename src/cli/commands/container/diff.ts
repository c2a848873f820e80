import { command, exactArgs } from "../../command.ts";

const LETTERS = ["C", "A", "D"] as const;

export const diff = command({
  use: "CONTAINER",
  short: "Inspect changes to files or directories on a container's filesystem",
  aliases: ["container diff", "diff"],
  args: exactArgs(1),
  flags: {},
  run: async (ctx, [ref = ""]) => {
    if (ref === "") throw new Error("Container name cannot be empty");
    for (const { Kind = 0, Path = "" } of (await ctx.api.contents.changes(ref, {})) ?? []) ctx.out(`${LETTERS[Kind] ?? ""} ${Path}`);
  },
});
