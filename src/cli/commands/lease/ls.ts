import { humanDuration, parseTime, Struct, shortId } from "../../../lib/mod.ts";
import type { Lease } from "../../../spec/engine/mod.ts";
import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { formatRows } from "../../format/table.ts";

const HEADERS = { ID: "LEASE ID", Name: "NAME", Created: "CREATED", Expires: "EXPIRES", Owner: "OWNER", Labels: "LABELS" };

function age(time: string, sign: 1 | -1): number {
  return sign * (Date.now() - Number((parseTime(time) ?? 0n) / 1_000_000n));
}

/** What keeps a lease from ending. */
function owner({ Pid, Hold, Holders }: Lease): string {
  const parts = [...(Pid > 0 ? [`process ${Pid}`] : []), ...(Hold ? [`${Holders} connection${Holders === 1 ? "" : "s"}`] : [])];
  return parts.join(", ");
}

function leaseRow(lease: Lease, noTrunc: boolean): Struct {
  return new Struct(
    "*formatter.leaseContext",
    {
      ID: () => (noTrunc ? lease.Id : shortId(lease.Id)),
      Name: () => lease.Name,
      Created: () => `${humanDuration(age(lease.Created, 1))} ago`,
      Expires: () => (lease.Expires === "" ? "" : `in ${humanDuration(Math.max(0, age(lease.Expires, -1)))}`),
      Owner: () => owner(lease),
      Labels: () => lease.Filters.flatMap(({ label = [] }) => label).join(","),
    },
    {},
  );
}

export const leaseLs = command({
  use: "[OPTIONS]",
  short: "List leases",
  aliases: ["lease ls", "lease list"],
  args: NO_ARGS,
  flags: {
    format: { kind: STRING, help: FORMAT_HELP },
    "no-trunc": { kind: BOOLEAN, help: "Don't truncate output" },
    quiet: { kind: BOOLEAN, short: "q", help: "Only display lease IDs" },
  },
  run: async (ctx, _args, flags) => {
    const leases = await ctx.api.leases.list();
    const isDefault = flags.format === "" || flags.format === "table";
    const table = "table {{.ID}}\t{{.Name}}\t{{.Created}}\t{{.Expires}}\t{{.Owner}}";
    const format = isDefault ? (flags.quiet ? "{{.ID}}" : table) : flags.format;
    const rows = leases.map((lease) => leaseRow(lease, flags["no-trunc"]));
    ctx.stdout.write(formatRows({ format, headers: HEADERS, rows }));
  },
});
