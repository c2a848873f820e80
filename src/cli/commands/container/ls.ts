import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, FILTER, INT, STRING } from "../../flag-kinds.ts";
import { CONTAINER_HEADERS, CONTAINER_TABLE, containerRow } from "../../format/container-row.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { formatRows } from "../../format/table.ts";
import { listFormat } from "../../settings.ts";

const RAW = [
  "container_id: {{.ID}}",
  "image: {{.Image}}",
  "command: {{.Command}}",
  "created_at: {{.CreatedAt}}",
  "state:{{- pad .State 1 0}}",
  "status:{{- pad .Status 1 0}}",
  "names: {{.Names}}",
  "labels:{{- pad .Labels 1 0}}",
  "ports:{{- pad .Ports 1 0}}\n",
].join("\n");

/** The template of a `--format`. */
function formatOf({ format, quiet, size }: { readonly format: string; readonly quiet: boolean; readonly size: boolean }): string {
  if (format === "raw") return quiet ? "container_id: {{.ID}}" : `${RAW}${size ? "size: {{.Size}}\n" : ""}`;
  if (quiet) return "{{.ID}}";
  return format === "" || format === "table" ? `${CONTAINER_TABLE}${size ? "\t{{.Size}}" : ""}` : format;
}

export const containerLs = command({
  use: "[OPTIONS]",
  short: "List containers",
  aliases: ["container ls", "container list", "container ps", "ps"],
  args: NO_ARGS,
  flags: {
    all: { kind: BOOLEAN, short: "a", help: "Show all containers (default shows just running)" },
    filter: { kind: FILTER, short: "f", help: "Filter output based on conditions provided" },
    format: { kind: STRING, help: FORMAT_HELP },
    last: { kind: INT, short: "n", initial: -1, help: "Show n last created containers (includes all states) (default -1)" },
    latest: { kind: BOOLEAN, short: "l", help: "Show the latest created container (includes all states)" },
    "no-trunc": { kind: BOOLEAN, help: "Don't truncate output" },
    quiet: { kind: BOOLEAN, short: "q", help: "Only display container IDs" },
    size: { kind: BOOLEAN, short: "s", help: "Display total file sizes" },
  },
  run: async (ctx, _args, flags) => {
    const format = listFormat(ctx, "psFormat", flags);
    if (flags.quiet && flags.format !== "") ctx.warn("WARNING: Ignoring custom format, because both --format and --quiet are set.");
    const containers = await ctx.api.containers.list({
      all: flags.all,
      limit: flags.latest && flags.last === -1 ? 1 : flags.last,
      size: flags.size || (!flags.quiet && /\.Size\b|json \. *\}\}/.test(format)),
      filters: flags.filter,
    });
    const rows = containers.map((container) => containerRow(container, !flags["no-trunc"]));
    ctx.stdout.write(formatRows({ format: formatOf({ ...flags, format }), headers: CONTAINER_HEADERS, rows }));
  },
});
