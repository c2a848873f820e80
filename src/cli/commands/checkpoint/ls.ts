import { Struct } from "../../../lib/mod.ts";
import { command } from "../../command.ts";
import { STRING } from "../../flag-kinds.ts";
import { formatRows } from "../../format/table.ts";

export const checkpointLs = command({
  use: "[OPTIONS] CONTAINER",
  short: "List checkpoints for a container",
  aliases: ["checkpoint ls", "checkpoint list"],
  args: { min: 1, max: 1 },
  flags: { "checkpoint-dir": { kind: STRING, help: "Use a custom checkpoint storage directory" } },
  run: async (ctx, [ref = ""], flags) => {
    const checkpoints = await ctx.api.checkpoints.list(ref, { dir: flags["checkpoint-dir"] || undefined });
    const rows = checkpoints.map(({ Name }) => new Struct("*checkpoint.formatter", { Name }));
    ctx.stdout.write(formatRows({ format: "table {{.Name}}", headers: { Name: "CHECKPOINT NAME" }, rows }));
  },
});
