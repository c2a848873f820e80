import { Struct } from "../../../lib/mod.ts";
import type { ContainerEgress, EgressDenial } from "../../../spec/engine/mod.ts";
import { command, minArgs } from "../../command.ts";
import type { Context } from "../../context.ts";
import { forEachArg } from "../../each.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { joinHostPort } from "../../format/ports.ts";
import { formatRows } from "../../format/table.ts";
import { inspectAll } from "../../inspect.ts";

const HEADERS = { Destination: "DESTINATION", Names: "NAMES", Packets: "PACKETS", LastSeen: "LAST SEEN" };
const TABLE = "table {{.Destination}}\t{{.Names}}\t{{.Packets}}\t{{.LastSeen}}";

function denialRow({ Address, Port, Protocol, Names, Packets, LastSeen }: EgressDenial): Struct {
  const destination = Port === 0 ? `${Address} ${Protocol}` : `${joinHostPort(Address, Port)}/${Protocol}`;
  return new Struct(
    "*formatter.egressContext",
    { Destination: () => destination, Names: () => Names.join(", "), Packets: () => Packets, LastSeen: () => LastSeen.slice(0, 19) },
    {},
  );
}

const MODES = { none: "no policy: it may reach everything", enforce: "enforce", learn: "learn: records what enforce would deny" } as const;

function print(ctx: Context, egress: ContainerEgress): void {
  const { Name, Mode, Allow, Packets, DeniedPackets, Open, Denied, DeniedNames } = egress;
  ctx.out(`${Name.slice(1)}: ${MODES[Mode]}`);
  if (Mode === "none") return;
  ctx.out(`  Allowed: ${Allow.length === 0 ? "nothing" : Allow.join(", ")}`);
  ctx.out(`  Packets: ${Packets}, of them ${Mode === "learn" ? "not in the list" : "denied"}: ${DeniedPackets}`);
  for (const { Names, Address, ExpiresInSeconds } of Open) ctx.out(`  Open: ${Address} (${Names.join(", ")}) for ${ExpiresInSeconds}s`);
  if (DeniedNames.length > 0) ctx.out(`  Names not in the list: ${DeniedNames.map(({ Name: name }) => name).join(", ")}`);
  if (Denied.length === 0) return;
  ctx.out("");
  ctx.stdout.write(formatRows({ format: TABLE, headers: HEADERS, rows: Denied.map(denialRow) }));
}

export const egress = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Show what containers may reach, and what was denied",
  aliases: ["container egress", "egress"],
  isOwn: true,
  args: minArgs(1),
  flags: {
    "as-policy": { kind: BOOLEAN, help: "Print the value of --egress-allow that would allow what was seen" },
    format: { kind: STRING, short: "f", help: 'Format output using a custom template, or as "json"' },
  },
  run: (ctx, refs, flags) => {
    const { format } = flags;
    if (format !== "") return inspectAll(ctx, refs, format, async (ref) => JSON.stringify(await ctx.api.egress.inspect(ref)));
    return forEachArg(refs, async (ref) => {
      const found = await ctx.api.egress.inspect(ref);
      if (flags["as-policy"]) ctx.out(found.Suggested.join(","));
      else print(ctx, found);
    });
  },
});
