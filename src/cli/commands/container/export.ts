import { command, ExitError, exactArgs } from "../../command.ts";
import { STRING } from "../../flag-kinds.ts";
import { outputFile } from "../../output-file.ts";

export const containerExport = command({
  use: "[OPTIONS] CONTAINER",
  short: "Export a container's filesystem as a tar archive",
  aliases: ["container export", "export"],
  args: exactArgs(1),
  flags: { output: { kind: STRING, short: "o", help: "Write to a file, instead of STDOUT" } },
  run: async (ctx, [ref = ""], flags) => {
    if (flags.output === "" && ctx.stdout.isTerminal) {
      throw new ExitError(1, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    }
    const file = flags.output === "" ? undefined : outputFile(flags.output, "failed to export container");
    const chunks = await ctx.api.contents.export(ref, {});
    if (file) await file.write(chunks);
    else for await (const chunk of chunks) await ctx.stdout.writeSoon(chunk);
  },
});
