import { isKind } from "../../../lib/mod.ts";
import { command, ExitError, minArgs } from "../../command.ts";
import { errorText } from "../../error-text.ts";
import { BOOLEAN } from "../../flag-kinds.ts";

export const networkRm = command({
  use: "NETWORK [NETWORK...]",
  short: "Remove one or more networks",
  aliases: ["network rm", "network remove"],
  args: minArgs(1),
  flags: { force: { kind: BOOLEAN, short: "f", help: "Do not error if the network does not exist" } },
  run: async (ctx, args, { force }) => {
    let hasFailed = false;
    for (const name of args) {
      try {
        await ctx.api.networks.remove(name);
        ctx.out(name);
      } catch (error) {
        if (force && isKind(error, "notFound")) continue;
        ctx.warn(errorText(error));
        hasFailed = true;
      }
    }
    // docker says this, too
    if (hasFailed) throw new ExitError(1, "exit status 1");
  },
});
