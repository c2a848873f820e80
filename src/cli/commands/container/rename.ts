import { command, ExitError, exactArgs } from "../../command.ts";
import { errorText } from "../../error-text.ts";

export const rename = command({
  use: "CONTAINER NEW_NAME",
  short: "Rename a container",
  aliases: ["container rename", "rename"],
  args: exactArgs(2),
  flags: {},
  run: async (ctx, [ref = "", name = ""]) => {
    if (ref.trim() === "" || name.trim() === "") throw new Error("Error: Neither old nor new names may be empty");
    try {
      await ctx.api.containers.rename(ref.trim(), name.trim());
    } catch (error) {
      throw new ExitError(1, `${errorText(error)}\nError: failed to rename container named ${ref.trim()}`);
    }
  },
});
