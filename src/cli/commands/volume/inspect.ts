import { segment } from "../../../sdk/mod.ts";
import { command, minArgs } from "../../command.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

export const volumeInspect = command({
  use: "[OPTIONS] VOLUME [VOLUME...]",
  short: "Display detailed information on one or more volumes",
  args: minArgs(1),
  flags: { format: INSPECT_FORMAT },
  run: (ctx, args, flags) =>
    inspectAll(ctx, args, flags.format, (ref) => ctx.api.text({ method: "GET", target: `/volumes/${segment(ref, "volume")}` })),
});
