import type { Filters } from "../../../spec/engine/mod.ts";
import { command, NO_ARGS } from "../../command.ts";
import type { Context } from "../../context.ts";
import { BOOLEAN, FILTER } from "../../flag-kinds.ts";
import { confirmPrune, reclaimed } from "../../prune.ts";
import { pruneFilters } from "../../settings.ts";

interface PrunedBuildCache {
  readonly CachesDeleted: readonly string[] | null;
  readonly SpaceReclaimed: number;
}

async function pruneBuildCache({ api }: Context, isAll: boolean, filters: Filters): Promise<PrunedBuildCache> {
  const query = new URLSearchParams({ ...(isAll && { all: "1" }), filters: JSON.stringify(filters) });
  return JSON.parse(await api.text({ method: "POST", target: `/build/prune?${query}` })) as PrunedBuildCache;
}

export const systemPrune = command({
  use: "[OPTIONS]",
  short: "Remove unused data",
  args: NO_ARGS,
  flags: {
    all: { kind: BOOLEAN, short: "a", help: "Remove all unused images not just dangling ones" },
    filter: { kind: FILTER, help: 'Provide filter values (e.g. "label=<key>=<value>")' },
    force: { kind: BOOLEAN, short: "f", help: "Do not prompt for confirmation" },
    volumes: { kind: BOOLEAN, help: "Prune anonymous volumes" },
  },
  run: async (ctx, _args, flags) => {
    if (flags.volumes && flags.filter["until"]) throw new Error('ERROR: The "until" filter is not supported with "--volumes"');
    const filter = pruneFilters(ctx, flags.filter);
    const what = [
      "all stopped containers",
      "all networks not used by at least one container",
      ...(flags.volumes ? ["all anonymous volumes not used by at least one container"] : []),
      flags.all ? "all images without at least one container associated to them" : "all dangling images",
      flags.all ? "all build cache" : "unused build cache",
    ];
    const filters = Object.entries(filter)
      .flatMap(([key, values]) => values.map((value) => `${key}=${value}`))
      .sort();
    const note =
      filters.length > 0 ? `\n\n  Items to be pruned will be filtered with:\n${filters.map((text) => `  - ${text}`).join("\n")}` : "";
    await confirmPrune(ctx, flags.force, `WARNING! This will remove:\n${what.map((text) => `  - ${text}`).join("\n")}${note}\n`);
    const { api } = ctx;
    let space = 0;
    const show = (title: string, names: readonly string[]) => {
      if (names.length > 0) ctx.out(`Deleted ${title}:\n${names.join("\n")}\n`);
    };
    const containers = await api.containers.prune(filter);
    show("Containers", containers.ContainersDeleted ?? []);
    space += containers.SpaceReclaimed;
    show("Networks", (await api.networks.prune(filter)).NetworksDeleted ?? []);
    if (flags.volumes) {
      const volumes = await api.volumes.prune(filter);
      show("Volumes", volumes.VolumesDeleted ?? []);
      space += volumes.SpaceReclaimed;
    }
    const images = await api.images.prune({ ...filter, dangling: [...(filter["dangling"] ?? []), String(!flags.all)] });
    const lines = (images.ImagesDeleted ?? []).map(({ Deleted, Untagged }) => (Untagged ? `untagged: ${Untagged}` : `deleted: ${Deleted}`));
    show("Images", lines);
    const builds = await pruneBuildCache(ctx, flags.all, filter);
    show("build cache objects", builds.CachesDeleted ?? []);
    ctx.out(reclaimed(space + images.SpaceReclaimed + builds.SpaceReclaimed));
  },
});
