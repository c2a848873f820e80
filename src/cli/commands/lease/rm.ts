import { command, minArgs } from "../../command.ts";
import { forEachArg } from "../../each.ts";
import { BOOLEAN } from "../../flag-kinds.ts";

export const leaseRm = command({
  use: "[OPTIONS] LEASE [LEASE...]",
  short: "End one or more leases, with everything that belongs to them",
  aliases: ["lease rm", "lease remove"],
  args: minArgs(1),
  flags: { keep: { kind: BOOLEAN, help: "Leave what belongs to the lease alone" } },
  run: (ctx, refs, { keep }) =>
    forEachArg(refs, async (ref) => {
      await ctx.api.leases.remove(ref, { keep });
      ctx.out(ref);
    }),
});
