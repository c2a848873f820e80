import { command, minArgs } from "../../command.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

export const leaseInspect = command({
  use: "[OPTIONS] LEASE [LEASE...]",
  short: "Display detailed information on one or more leases",
  args: minArgs(1),
  flags: { format: INSPECT_FORMAT },
  run: (ctx, refs, { format }) => inspectAll(ctx, refs, format, async (ref) => JSON.stringify(await ctx.api.leases.inspect(ref))),
});
