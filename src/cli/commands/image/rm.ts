import { isKind } from "../../../lib/mod.ts";
import { command, ExitError, minArgs } from "../../command.ts";
import { errorText } from "../../error-text.ts";
import { BOOLEAN, STRINGS } from "../../flag-kinds.ts";

export const imageRm = command({
  use: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Remove one or more images",
  aliases: ["image rm", "image remove", "rmi"],
  args: minArgs(1),
  flags: {
    force: { kind: BOOLEAN, short: "f", help: "Force removal of the image" },
    "no-prune": { kind: BOOLEAN, help: "Do not delete untagged parents" },
    platform: { kind: STRINGS, help: 'Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")' },
  },
  run: async (ctx, args, flags) => {
    const platforms = flags.platform.length === 0 ? undefined : flags.platform;
    const failures: string[] = [];
    let isFatal = false;
    for (const ref of args) {
      try {
        const items = await ctx.api.images.remove(ref, { force: flags.force, noPrune: flags["no-prune"], platforms });
        for (const { Deleted, Untagged } of items) ctx.out(Deleted ? `Deleted: ${Deleted}` : `Untagged: ${Untagged}`);
      } catch (error) {
        if (!isKind(error, "notFound")) isFatal = true;
        failures.push(errorText(error));
      }
    }
    if (failures.length === 0) return;
    if (!flags.force || isFatal) throw new ExitError(1, failures.join("\n"));
    ctx.warn(failures.join("\n"));
  },
});
