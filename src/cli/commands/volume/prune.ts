import { command, ExitError, NO_ARGS } from "../../command.ts";
import { BOOLEAN, FILTER } from "../../flag-kinds.ts";
import { confirmPrune, reclaimed } from "../../prune.ts";
import { pruneFilters } from "../../settings.ts";

/** From here on a prune without `all` leaves named volumes alone. */
const ANONYMOUS_SINCE = 42;

export const volumePrune = command({
  use: "[OPTIONS]",
  short: "Remove unused local volumes",
  args: NO_ARGS,
  flags: {
    all: { kind: BOOLEAN, short: "a", help: "Remove all unused volumes, not just anonymous ones" },
    filter: { kind: FILTER, help: 'Provide filter values (e.g. "label=<label>")' },
    force: { kind: BOOLEAN, short: "f", help: "Do not prompt for confirmation" },
  },
  run: async (ctx, _args, flags) => {
    const isAnonymousOnly = Number((await ctx.api.apiVersion()).split(".")[1]) >= ANONYMOUS_SINCE && !flags.all;
    if (flags.all && flags.filter["all"] !== undefined) {
      throw new ExitError(1, "conflicting options: cannot specify both --all and --filter all=1");
    }
    const what = isAnonymousOnly ? "anonymous local volumes" : "all local volumes";
    await confirmPrune(ctx, flags.force, `WARNING! This will remove ${what} not used by at least one container.`);
    const { VolumesDeleted, SpaceReclaimed } = await ctx.api.volumes.prune({
      ...pruneFilters(ctx, flags.filter),
      ...(flags.all && { all: ["true"] }),
    });
    const deleted = VolumesDeleted ?? [];
    if (deleted.length > 0) ctx.out(`Deleted Volumes:\n${deleted.join("\n")}\n`);
    ctx.out(reclaimed(SpaceReclaimed));
  },
});
