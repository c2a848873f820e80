import { target } from "../../../sdk/mod.ts";
import { command, minArgs } from "../../command.ts";
import { BOOLEAN } from "../../flag-kinds.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

export const containerInspect = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Display detailed information on one or more containers",
  args: minArgs(1),
  flags: { format: INSPECT_FORMAT, size: { kind: BOOLEAN, short: "s", help: "Display total file sizes" } },
  run: (ctx, args, flags) =>
    inspectAll(ctx, args, flags.format, (ref) =>
      ctx.api.text({ method: "GET", target: target(`/containers/${encodeURIComponent(ref)}/json`, { size: flags.size }) }),
    ),
});
