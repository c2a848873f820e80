import { segment, target } from "../../../sdk/mod.ts";
import { command, minArgs } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

export const containerInspect = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Display detailed information on one or more containers",
  args: minArgs(1),
  flags: {
    as: { kind: STRING, isOwn: true, help: 'Print what would make the container again ("run", "compose", "ts")' },
    format: INSPECT_FORMAT,
    size: { kind: BOOLEAN, short: "s", help: "Display total file sizes" },
  },
  run: async (ctx, args, flags, changed) => {
    if (changed.has("as")) {
      const { checkForm, recreateText } = await import("../../recreate/mod.ts");
      ctx.stdout.write(await recreateText(ctx.api, args, checkForm(flags.as), ctx.name));
      return;
    }
    await inspectAll(ctx, args, flags.format, (ref) =>
      ctx.api.text({ method: "GET", target: target(`/containers/${segment(ref, "container")}/json`, { size: flags.size }) }),
    );
  },
});
