import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, FILTER } from "../../flag-kinds.ts";
import { confirmPrune } from "../../prune.ts";
import { pruneFilters } from "../../settings.ts";

export const networkPrune = command({
  use: "[OPTIONS]",
  short: "Remove all unused networks",
  args: NO_ARGS,
  flags: {
    filter: { kind: FILTER, help: 'Provide filter values (e.g. "until=<timestamp>")' },
    force: { kind: BOOLEAN, short: "f", help: "Do not prompt for confirmation" },
  },
  run: async (ctx, _args, flags) => {
    await confirmPrune(ctx, flags.force, "WARNING! This will remove all custom networks not used by at least one container.");
    const { NetworksDeleted } = await ctx.api.networks.prune(pruneFilters(ctx, flags.filter));
    const deleted = NetworksDeleted ?? [];
    if (deleted.length > 0) ctx.out(`Deleted Networks:\n${deleted.join("\n")}\n`);
  },
});
