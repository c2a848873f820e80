import { command, exactArgs } from "../../command.ts";
import { BOOLEAN, LIST, pairs } from "../../flag-kinds.ts";
import { copyVolume } from "../../volume-copy.ts";

export const volumeClone = command({
  use: "[OPTIONS] VOLUME NEW_VOLUME",
  short: "Make a new volume with what is in another one",
  isOwn: true,
  args: exactArgs(2),
  flags: {
    label: { kind: LIST, help: "Set metadata for the new volume" },
    "no-pause": { kind: BOOLEAN, help: "Let running containers that use the volume go on meanwhile" },
    quiet: { kind: BOOLEAN, short: "q", help: "Show no progress" },
  },
  run: (ctx, [source = "", name = ""], flags) =>
    copyVolume(ctx, source, { name, labels: pairs(flags.label), isSnapshot: false, pause: !flags["no-pause"], quiet: flags.quiet }),
});
