import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, FILTER, STRING } from "../../flag-kinds.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { naturalCompare } from "../../format/names.ts";
import { formatRows } from "../../format/table.ts";
import { VOLUME_HEADERS, volumeRow } from "../../format/volume-row.ts";
import { listFormat } from "../../settings.ts";

/** The template of a `--format`. */
function formatOf(format: string, isQuiet: boolean): string {
  if (format === "" || format === "table") return isQuiet ? "{{.Name}}" : "table {{.Driver}}\t{{.Name}}";
  if (format !== "raw") return format;
  return isQuiet ? "name: {{.Name}}" : "name: {{.Name}}\ndriver: {{.Driver}}\n";
}

export const volumeLs = command({
  use: "[OPTIONS]",
  short: "List volumes",
  aliases: ["volume ls", "volume list"],
  args: NO_ARGS,
  flags: {
    filter: { kind: FILTER, short: "f", help: 'Provide filter values (e.g. "dangling=true")' },
    format: { kind: STRING, help: FORMAT_HELP },
    quiet: { kind: BOOLEAN, short: "q", help: "Only display volume names" },
  },
  run: async (ctx, _args, flags) => {
    const { Volumes } = await ctx.api.volumes.list(flags.filter);
    const volumes = [...(Volumes ?? [])].sort((a, b) => naturalCompare(a.Name ?? "", b.Name ?? ""));
    ctx.stdout.write(
      formatRows({
        format: formatOf(listFormat(ctx, "volumesFormat", flags), flags.quiet),
        headers: VOLUME_HEADERS,
        rows: volumes.map(volumeRow),
      }),
    );
  },
});
