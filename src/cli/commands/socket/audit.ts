import { command, ExitError, exactArgs } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";

export const socketAudit = command({
  use: "[OPTIONS] SOCKET",
  short: "Show what came through a scoped socket, one JSON object a line",
  args: exactArgs(1),
  flags: {
    follow: { kind: BOOLEAN, short: "f", help: "Follow the log" },
    tail: { kind: STRING, short: "n", initial: "all", help: 'Number of lines to show from the end of the log (default "all")' },
  },
  run: async (ctx, [name = ""], { follow, tail }) => {
    if (tail !== "all" && !/^\d+$/.test(tail)) throw new ExitError(1, `invalid tail: ${tail}`);
    const records = await ctx.api.sockets.audit(name, { tail: tail === "all" ? -1 : Number(tail), follow });
    for await (const record of records) ctx.out(JSON.stringify(record));
  },
});
