import { command, exactArgs } from "../../command.ts";
import { LIST, STRINGS } from "../../flag-kinds.ts";
import { showProgress } from "../../progress.ts";

export const bootstrap = command({
  use: "[OPTIONS] distro/NAME[:SUITE]",
  short: "Make a base image from a distribution's packages",
  args: exactArgs(1),
  flags: {
    include: { kind: STRINGS, help: "Packages to install besides the base system" },
    tag: { kind: LIST, short: "t", help: 'Name and optionally a tag of the image (format: "name:tag")' },
  },
  run: async (ctx, [source = ""], flags) => {
    const messages = await ctx.api.transfer.bootstrap({ source, include: flags.include, tags: flags.tag });
    await showProgress(ctx.stdout, messages);
  },
});
