import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, FILTER } from "../../flag-kinds.ts";
import { confirmPrune, reclaimed } from "../../prune.ts";
import { pruneFilters } from "../../settings.ts";

const ALL_WARNING = "WARNING! This will remove all images without at least one container associated to them.";
const DANGLING_WARNING = "WARNING! This will remove all dangling images.";

export const imagePrune = command({
  use: "[OPTIONS]",
  short: "Remove unused images",
  args: NO_ARGS,
  flags: {
    all: { kind: BOOLEAN, short: "a", help: "Remove all unused images, not just dangling ones" },
    filter: { kind: FILTER, help: 'Provide filter values (e.g. "until=<timestamp>")' },
    force: { kind: BOOLEAN, short: "f", help: "Do not prompt for confirmation" },
  },
  run: async (ctx, _args, flags) => {
    await confirmPrune(ctx, flags.force, flags.all ? ALL_WARNING : DANGLING_WARNING);
    const own = pruneFilters(ctx, flags.filter);
    const filters = { ...own, dangling: [...(own["dangling"] ?? []), String(!flags.all)] };
    const { ImagesDeleted, SpaceReclaimed } = await ctx.api.images.prune(filters);
    const lines = (ImagesDeleted ?? []).map(({ Deleted, Untagged }) => (Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted}`));
    if (lines.length > 0) ctx.out(`Deleted Images:\n${lines.join("\n")}\n`);
    ctx.out(reclaimed(SpaceReclaimed));
  },
});
