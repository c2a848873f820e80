import { Struct } from "../../../lib/mod.ts";
import type { NetworkSummary } from "../../../spec/engine/mod.ts";
import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, FILTER, STRING } from "../../flag-kinds.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { naturalCompare } from "../../format/names.ts";
import { formatRows } from "../../format/table.ts";
import { labelsText, timeText, truncateId } from "../../format/text.ts";
import { listFormat } from "../../settings.ts";

const HEADERS = {
  ID: "NETWORK ID",
  Name: "NAME",
  Driver: "DRIVER",
  Scope: "SCOPE",
  IPv4: "IPV4",
  IPv6: "IPV6",
  Internal: "INTERNAL",
  Labels: "LABELS",
  CreatedAt: "CREATED AT",
};

/** Go's time.Time.String of an RFC 3339 time, with its fraction. */
function created(text: string | undefined): string {
  const match = /^(.+?)(\.\d+)?(Z|[+-]\d\d:\d\d)$/.exec(text ?? "");
  if (!match) return "";
  const plain = timeText(Date.parse(`${match[1]}${match[3]}`) / 1000);
  return match[2] ? plain.replace(/^(\S+ \S+)/, `$1${match[2]}`) : plain;
}

function row(network: NetworkSummary, doesTruncate: boolean): Struct {
  const { Id = "", Name = "", Driver = "", Scope = "", Labels } = network;
  return new Struct(
    "*network.networkContext",
    {
      ID: () => (doesTruncate ? truncateId(Id) : Id),
      Name: () => Name,
      Driver: () => Driver,
      Scope: () => Scope,
      IPv4: () => String(network.EnableIPv4 ?? false),
      IPv6: () => String(network.EnableIPv6 ?? false),
      Internal: () => String(network.Internal ?? false),
      Labels: () => labelsText(Labels),
      CreatedAt: () => created(network.Created),
    },
    { Label: (name: unknown) => Labels?.[String(name)] ?? "" },
  );
}

/** The template of a `--format`. */
function formatOf(format: string, isQuiet: boolean): string {
  if (format === "" || format === "table") return isQuiet ? "{{.ID}}" : "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
  if (format !== "raw") return format;
  return isQuiet ? "network_id: {{.ID}}" : "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n";
}

export const networkLs = command({
  use: "[OPTIONS]",
  short: "List networks",
  aliases: ["network ls", "network list"],
  args: NO_ARGS,
  flags: {
    filter: { kind: FILTER, short: "f", help: 'Provide filter values (e.g. "driver=bridge")' },
    format: { kind: STRING, help: FORMAT_HELP },
    "no-trunc": { kind: BOOLEAN, help: "Do not truncate the output" },
    quiet: { kind: BOOLEAN, short: "q", help: "Only display network IDs" },
  },
  run: async (ctx, _args, flags) => {
    const networks = [...(await ctx.api.networks.list(flags.filter))].sort((a, b) => naturalCompare(a.Name ?? "", b.Name ?? ""));
    const rows = networks.map((network) => row(network, !flags["no-trunc"]));
    ctx.stdout.write(formatRows({ format: formatOf(listFormat(ctx, "networksFormat", flags), flags.quiet), headers: HEADERS, rows }));
  },
});
