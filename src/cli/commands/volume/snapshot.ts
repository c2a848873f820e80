import { command } from "../../command.ts";
import { BOOLEAN, LIST, pairs } from "../../flag-kinds.ts";
import { copyVolume } from "../../volume-copy.ts";

export const volumeSnapshot = command({
  use: "[OPTIONS] VOLUME [SNAPSHOT]",
  short: "Keep a volume as it is at the moment, as another volume",
  isOwn: true,
  args: { min: 1, max: 2 },
  flags: {
    label: { kind: LIST, help: "Set metadata for the snapshot" },
    "no-pause": { kind: BOOLEAN, help: "Let running containers that use the volume go on meanwhile" },
    quiet: { kind: BOOLEAN, short: "q", help: "Show no progress" },
  },
  run: (ctx, [source = "", name], flags) =>
    copyVolume(ctx, source, { name, labels: pairs(flags.label), isSnapshot: true, pause: !flags["no-pause"], quiet: flags.quiet }),
});
