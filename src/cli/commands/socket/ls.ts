import { bytesSize, humanDuration, parseTime, Struct } from "../../../lib/mod.ts";
import type { ScopedSocket } from "../../../spec/engine/mod.ts";
import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { formatRows } from "../../format/table.ts";
import { quotaText } from "./quota.ts";

const HEADERS = { Name: "NAME", Created: "CREATED", Containers: "CONTAINERS", Quota: "QUOTA", Allow: "ALLOW", Path: "PATH" };

function socketRow(socket: ScopedSocket): Struct {
  return new Struct(
    "*formatter.socketContext",
    {
      Name: () => socket.Name,
      Created: () => `${humanDuration(Date.now() - Number((parseTime(socket.Created) ?? 0n) / 1_000_000n))} ago`,
      Containers: () => String(socket.Containers),
      Quota: () => quotaText(socket.Quota, bytesSize),
      Allow: () => socket.Allow.join("; "),
      Path: () => socket.Path,
    },
    {},
  );
}

export const socketLs = command({
  use: "[OPTIONS]",
  short: "List scoped sockets",
  aliases: ["socket ls", "socket list"],
  args: NO_ARGS,
  flags: {
    format: { kind: STRING, help: FORMAT_HELP },
    quiet: { kind: BOOLEAN, short: "q", help: "Only display names" },
  },
  run: async (ctx, _args, flags) => {
    const sockets = await ctx.api.sockets.list();
    const isDefault = flags.format === "" || flags.format === "table";
    const table = "table {{.Name}}\t{{.Created}}\t{{.Containers}}\t{{.Quota}}\t{{.Allow}}\t{{.Path}}";
    const format = isDefault ? (flags.quiet ? "{{.Name}}" : table) : flags.format;
    ctx.stdout.write(formatRows({ format, headers: HEADERS, rows: sockets.map(socketRow) }));
  },
});
