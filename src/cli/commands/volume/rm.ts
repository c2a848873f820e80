import { isKind } from "../../../lib/mod.ts";
import { command, minArgs } from "../../command.ts";
import { forEachArg } from "../../each.ts";
import { BOOLEAN } from "../../flag-kinds.ts";

export const volumeRm = command({
  use: "[OPTIONS] VOLUME [VOLUME...]",
  short: "Remove one or more volumes",
  long: "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
  aliases: ["volume rm", "volume remove"],
  args: minArgs(1),
  flags: { force: { kind: BOOLEAN, short: "f", help: "Force the removal of one or more volumes" } },
  run: (ctx, args, { force }) =>
    forEachArg(args, async (name) => {
      try {
        await ctx.api.volumes.remove(name, { force });
      } catch (error) {
        if (!force || !isKind(error, "notFound")) throw error;
      }
      ctx.out(name);
    }),
});
