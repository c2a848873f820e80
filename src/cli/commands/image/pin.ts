import { command, minArgs } from "../../command.ts";
import { forEachArg } from "../../each.ts";

export const imagePin = command({
  use: "IMAGE [IMAGE...]",
  short: "Keep images from being collected and pruned",
  isOwn: true,
  args: minArgs(1),
  flags: {},
  run: (ctx, refs) =>
    forEachArg(refs, async (ref) => {
      await ctx.api.images.pin(ref, true);
      ctx.out(ref);
    }),
});

export const imageUnpin = command({
  use: "IMAGE [IMAGE...]",
  short: "Let pinned images be collected and pruned again",
  isOwn: true,
  args: minArgs(1),
  flags: {},
  run: (ctx, refs) =>
    forEachArg(refs, async (ref) => {
      await ctx.api.images.pin(ref, false);
      ctx.out(ref);
    }),
});
