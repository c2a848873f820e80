import { command } from "../../command.ts";
import { STRING } from "../../flag-kinds.ts";

export const checkpointRm = command({
  use: "[OPTIONS] CONTAINER CHECKPOINT",
  short: "Remove a checkpoint",
  aliases: ["checkpoint rm", "checkpoint remove"],
  args: { min: 2, max: 2 },
  flags: { "checkpoint-dir": { kind: STRING, help: "Use a custom checkpoint storage directory" } },
  run: (ctx, [ref = "", id = ""], flags) => ctx.api.checkpoints.remove(ref, id, { dir: flags["checkpoint-dir"] || undefined }),
});
