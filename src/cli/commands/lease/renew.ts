import { command, minArgs } from "../../command.ts";
import { forEachArg } from "../../each.ts";
import { DURATION_TEXT } from "../../flag-kinds.ts";

export const leaseRenew = command({
  use: "--ttl DURATION LEASE [LEASE...]",
  short: "Give one or more leases a new time, from now on",
  args: minArgs(1),
  flags: { ttl: { kind: DURATION_TEXT, help: "The new time (e.g. 10m)" } },
  run: (ctx, refs, { ttl }) =>
    forEachArg(refs, async (ref) => {
      await ctx.api.leases.renew(ref, ttl);
      ctx.out(ref);
    }),
});
