import { humanDuration, parseTime, shortId } from "../../../lib/mod.ts";
import type { KeptImage } from "../../../spec/engine/mod.ts";
import { command, minArgs } from "../../command.ts";
import type { Context } from "../../context.ts";
import { forEachArg } from "../../each.ts";
import { STRING } from "../../flag-kinds.ts";
import { inspectAll } from "../../inspect.ts";

function ago(time: string): string {
  return `${humanDuration(Date.now() - Number((parseTime(time) ?? 0n) / 1_000_000n)).toLowerCase()} ago`;
}

function print(ctx: Context, { Id, Names, Added, LastUsed, Keepers }: KeptImage): void {
  ctx.out(`${Names[0] ?? shortId(Id)}: added ${ago(Added)}, last used ${ago(LastUsed)}`);
  for (const { Text } of Keepers) ctx.out(`  ${Text}`);
  if (Keepers.length === 0) ctx.out("  nothing keeps it");
}

export const imageWhyKept = command({
  use: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Say what keeps images when the disk gets full",
  isOwn: true,
  args: minArgs(1),
  flags: { format: { kind: STRING, short: "f", help: 'Format output using a custom template, or as "json"' } },
  run: (ctx, refs, { format }) => {
    if (format !== "") return inspectAll(ctx, refs, format, async (ref) => JSON.stringify(await ctx.api.images.whyKept(ref)));
    return forEachArg(refs, async (ref) => print(ctx, await ctx.api.images.whyKept(ref)));
  },
});
