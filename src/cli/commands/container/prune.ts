import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, FILTER } from "../../flag-kinds.ts";
import { confirmPrune, reclaimed } from "../../prune.ts";
import { pruneFilters } from "../../settings.ts";

export const containerPrune = command({
  use: "[OPTIONS]",
  short: "Remove all stopped containers",
  args: NO_ARGS,
  flags: {
    filter: { kind: FILTER, help: 'Provide filter values (e.g. "until=<timestamp>")' },
    force: { kind: BOOLEAN, short: "f", help: "Do not prompt for confirmation" },
  },
  run: async (ctx, _args, flags) => {
    await confirmPrune(ctx, flags.force, "WARNING! This will remove all stopped containers.");
    const { ContainersDeleted, SpaceReclaimed } = await ctx.api.containers.prune(pruneFilters(ctx, flags.filter));
    const deleted = ContainersDeleted ?? [];
    if (deleted.length > 0) ctx.out(`Deleted Containers:\n${deleted.join("\n")}\n`);
    ctx.out(reclaimed(SpaceReclaimed));
  },
});
