import { segment, target } from "../../../sdk/mod.ts";
import { command, minArgs } from "../../command.ts";
import { BOOLEAN } from "../../flag-kinds.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

export const networkInspect = command({
  use: "[OPTIONS] NETWORK [NETWORK...]",
  short: "Display detailed information on one or more networks",
  args: minArgs(1),
  flags: { format: INSPECT_FORMAT, verbose: { kind: BOOLEAN, short: "v", help: "Verbose output for diagnostics" } },
  run: (ctx, args, flags) =>
    inspectAll(ctx, args, flags.format, (ref) =>
      ctx.api.text({ method: "GET", target: target(`/networks/${segment(ref, "network")}`, { verbose: flags.verbose }) }),
    ),
});
