import { command, maxArgs } from "../../command.ts";
import { BOOLEAN, FILTER, STRING } from "../../flag-kinds.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { IMAGE_HEADERS, imageRows } from "../../format/image-row.ts";
import { formatRows } from "../../format/table.ts";
import { listFormat } from "../../settings.ts";

const TABLE = "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";
const RAW = "repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n";
const DIGEST_TABLE = "table {{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}";

interface FormatFlags {
  readonly format: string;
  readonly quiet: boolean;
  readonly hasDigests: boolean;
}

/** The template of a `--format`. */
function formatOf({ format, quiet, hasDigests }: FormatFlags): string {
  if (format === "raw")
    return quiet ? "image_id: {{.ID}}" : hasDigests ? RAW.replace("tag: {{.Tag}}\n", "tag: {{.Tag}}\ndigest: {{.Digest}}\n") : RAW;
  if (quiet) return format === "table" && hasDigests ? "table {{.ID}}\t{{.Digest}}" : "{{.ID}}";
  if (format === "" || format === "table") return hasDigests ? DIGEST_TABLE : TABLE;
  return format;
}

export const imageLs = command({
  use: "[OPTIONS] [REPOSITORY[:TAG]]",
  short: "List images",
  aliases: ["image ls", "image list", "images"],
  args: maxArgs(1),
  flags: {
    all: { kind: BOOLEAN, short: "a", help: "Show all images (default hides intermediate images)" },
    digests: { kind: BOOLEAN, help: "Show digests" },
    filter: { kind: FILTER, short: "f", help: "Filter output based on conditions provided" },
    format: { kind: STRING, help: FORMAT_HELP },
    "no-trunc": { kind: BOOLEAN, help: "Don't truncate output" },
    quiet: { kind: BOOLEAN, short: "q", help: "Only show image IDs" },
  },
  run: async (ctx, [reference], flags) => {
    const filters =
      reference === undefined ? flags.filter : { ...flags.filter, reference: [...(flags.filter["reference"] ?? []), reference] };
    const images = await ctx.api.images.list({ all: flags.all, digests: false, sharedSize: false, manifests: false, filters });
    const format = listFormat(ctx, "imagesFormat", flags);
    const hasDigests = flags.digests || (!flags.quiet && /\.Digest\b/.test(format));
    const rows = [...images]
      .sort((a, b) => (b.Created ?? 0) - (a.Created ?? 0))
      .flatMap((image) => imageRows(image, { doesTruncate: !flags["no-trunc"], hasDigests }));
    ctx.stdout.write(formatRows({ format: formatOf({ ...flags, format, hasDigests }), headers: IMAGE_HEADERS, rows }));
  },
});
