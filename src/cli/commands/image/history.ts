import { humanSize, Struct } from "../../../lib/mod.ts";
import type { ImageHistoryResponseItem } from "../../../spec/engine/mod.ts";
import { command, exactArgs } from "../../command.ts";
import { checkPlatform } from "../../container/platform.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { formatRows } from "../../format/table.ts";
import { ago, ellipsis, truncateId, zoneOffset } from "../../format/text.ts";

const HEADERS = {
  ID: "IMAGE",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  CreatedBy: "CREATED BY",
  Size: "SIZE",
  Comment: "COMMENT",
};
const COMMAND_WIDTH = 45;
const SIZE_DIGITS = 3;

function rfc3339(seconds: number): string {
  const date = new Date(seconds * 1000);
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  return `${local}${date.getTimezoneOffset() === 0 ? "Z" : zoneOffset(date)}`;
}

function row(
  item: ImageHistoryResponseItem,
  { isHuman, doesTruncate }: { readonly isHuman: boolean; readonly doesTruncate: boolean },
): Struct {
  const { Id = "", Created = 0, CreatedBy = "", Size = 0, Comment = "" } = item;
  const createdAt = () => rfc3339(Created);
  const by = CreatedBy.replaceAll("\t", " ");
  return new Struct("*image.historyContext", {
    ID: () => (doesTruncate ? truncateId(Id) : Id),
    CreatedAt: createdAt,
    CreatedSince: () => (isHuman ? (Created <= 0 ? "N/A" : ago(Created)) : createdAt()),
    CreatedBy: () => (doesTruncate ? ellipsis(by, COMMAND_WIDTH) : by),
    Size: () => (isHuman ? humanSize(Size, SIZE_DIGITS) : String(Size)),
    Comment: () => Comment,
  });
}

export const history = command({
  use: "[OPTIONS] IMAGE",
  short: "Show the history of an image",
  aliases: ["image history", "history"],
  args: exactArgs(1),
  flags: {
    format: { kind: STRING, help: FORMAT_HELP },
    human: { kind: BOOLEAN, short: "H", initial: true, help: "Print sizes and dates in human readable format (default true)" },
    "no-trunc": { kind: BOOLEAN, help: "Don't truncate output" },
    platform: {
      kind: STRING,
      help: 'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
    quiet: { kind: BOOLEAN, short: "q", help: "Only show image IDs" },
  },
  run: async (ctx, [image = ""], flags) => {
    checkPlatform(flags.platform, "invalid platform");
    const items = await ctx.api.images.history(image, { platform: flags.platform || undefined });
    const created = flags.human ? "{{.CreatedSince}}" : "{{.CreatedAt}}";
    const table = `table {{.ID}}\t${created}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`;
    const format = flags.quiet ? "{{.ID}}" : flags.format === "" || flags.format === "table" ? table : flags.format;
    const rows = items.map((item) => row(item, { isHuman: flags.human, doesTruncate: !flags["no-trunc"] }));
    ctx.stdout.write(formatRows({ format, headers: HEADERS, rows }));
  },
});
