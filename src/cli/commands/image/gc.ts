import { humanDuration, humanSize, parseTime, Struct, shortId } from "../../../lib/mod.ts";
import type { CollectedImage, ImageGcReport } from "../../../spec/engine/mod.ts";
import { command, NO_ARGS } from "../../command.ts";
import type { Context } from "../../context.ts";
import { BOOLEAN, parseSize, STRING } from "../../flag-kinds.ts";
import { formatOne, formatRows } from "../../format/table.ts";

const HEADERS = { Image: "IMAGE", ID: "IMAGE ID", LastUsed: "LAST USED", Size: "FREED" };
const TABLE = "table {{.Image}}\t{{.ID}}\t{{.LastUsed}}\t{{.Size}}";

function row({ Id, Names, LastUsed, Size }: CollectedImage): Struct {
  const ageMs = Date.now() - Number((parseTime(LastUsed) ?? 0n) / 1_000_000n);
  return new Struct("*formatter.collectedImageContext", {
    Image: () => Names[0] ?? "<none>",
    ID: () => shortId(Id),
    LastUsed: () => `${humanDuration(ageMs)} ago`,
    Size: () => humanSize(Size),
  });
}

function print(ctx: Context, report: ImageGcReport, isDry: boolean): void {
  const { Images, SpaceReclaimed, Needed, Capacity, Available } = report;
  if (Images.length > 0) ctx.stdout.write(formatRows({ format: TABLE, headers: HEADERS, rows: Images.map(row) }));
  const free = `${humanSize(Available)} of ${humanSize(Capacity)} were free`;
  if (Needed === 0) ctx.out(`There is enough room: ${free}`);
  else {
    ctx.out(
      `${Images.length > 0 ? "\n" : ""}${isDry ? "Would free" : "Freed"} ${humanSize(SpaceReclaimed)} of ${humanSize(Needed)}; ${free}`,
    );
    if (SpaceReclaimed < Needed) ctx.out("Everything else is kept: see dhow image why-kept IMAGE");
  }
}

export const imageGc = command({
  use: "[OPTIONS]",
  short: "Remove the images used least recently until there is room",
  isOwn: true,
  args: NO_ARGS,
  flags: {
    "dry-run": { kind: BOOLEAN, help: "Only say what would be removed" },
    format: { kind: STRING, short: "f", help: 'Format output using a custom template, or as "json"' },
    "until-free": { kind: { ...STRING, word: "bytes" }, help: "Until so much is free (10GB) instead of the low watermark" },
  },
  run: async (ctx, _args, flags) => {
    const until = flags["until-free"];
    const untilFreeBytes = until === "" ? undefined : parseSize(until);
    const report = await ctx.api.images.collect({ dryRun: flags["dry-run"], untilFreeBytes });
    if (flags.format === "json") ctx.out(JSON.stringify(report));
    else if (flags.format !== "") ctx.out(formatOne(flags.format, report));
    else print(ctx, report, flags["dry-run"]);
  },
});
