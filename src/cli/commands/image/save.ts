import { command, ExitError, minArgs } from "../../command.ts";
import { checkPlatform } from "../../container/platform.ts";
import { STRING } from "../../flag-kinds.ts";
import { outputFile } from "../../output-file.ts";

export const save = command({
  use: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Save one or more images to a tar archive (streamed to STDOUT by default)",
  aliases: ["image save", "save"],
  args: minArgs(1),
  flags: {
    output: { kind: STRING, short: "o", help: "Write to a file, instead of STDOUT" },
    platform: { kind: STRING, help: 'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")' },
  },
  run: async (ctx, refs, flags) => {
    checkPlatform(flags.platform, "invalid platform");
    if (flags.output === "" && ctx.stdout.isTerminal) {
      throw new ExitError(1, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    }
    const file = flags.output === "" ? undefined : outputFile(flags.output, "failed to save image");
    const chunks = await ctx.api.transfer.save(refs, { platforms: flags.platform === "" ? undefined : [flags.platform] });
    if (file) await file.write(chunks);
    else for await (const chunk of chunks) await ctx.stdout.writeSoon(chunk);
  },
});
