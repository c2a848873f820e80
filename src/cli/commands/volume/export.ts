import type { VolumeCompression } from "../../../spec/engine/mod.ts";
import { command, ExitError, exactArgs } from "../../command.ts";
import { STRING } from "../../flag-kinds.ts";
import { outputFile } from "../../output-file.ts";

export const volumeExport = command({
  use: "[OPTIONS] VOLUME",
  short: "Export what is in a volume as a tar archive",
  isOwn: true,
  args: exactArgs(1),
  flags: {
    compress: { kind: STRING, help: 'Compress the archive ("gzip", "zstd")' },
    output: { kind: STRING, short: "o", help: "Write to a file, instead of STDOUT" },
  },
  run: async (ctx, [name = ""], flags) => {
    if (flags.output === "" && ctx.stdout.isTerminal) {
      throw new ExitError(1, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    }
    if (!["", "none", "gzip", "zstd"].includes(flags.compress))
      throw new ExitError(1, `invalid compression ${JSON.stringify(flags.compress)}`);
    const file = flags.output === "" ? undefined : outputFile(flags.output, "failed to export volume");
    const chunks = await ctx.api.volumeContents.export(name, { compression: (flags.compress || "none") as VolumeCompression });
    if (file) await file.write(chunks);
    else for await (const chunk of chunks) await ctx.stdout.writeSoon(chunk);
  },
});
