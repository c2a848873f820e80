import { command } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";

export const checkpointCreate = command({
  use: "[OPTIONS] CONTAINER CHECKPOINT",
  short: "Create a checkpoint from a running container",
  args: { min: 2, max: 2 },
  flags: {
    "checkpoint-dir": { kind: STRING, help: "Use a custom checkpoint storage directory" },
    "leave-running": { kind: BOOLEAN, help: "Leave the container running after checkpoint" },
  },
  run: async (ctx, [ref = "", id = ""], flags) => {
    const CheckpointDir = flags["checkpoint-dir"];
    await ctx.api.checkpoints.create(ref, { CheckpointID: id, CheckpointDir, Exit: !flags["leave-running"] });
    ctx.out(id);
  },
});
