import { imagePath, platformParameter, target } from "../../../sdk/mod.ts";
import { command, minArgs } from "../../command.ts";
import { STRING } from "../../flag-kinds.ts";
import { INSPECT_FORMAT, inspectAll } from "../../inspect.ts";

const PLATFORM_HELP = `Inspect a specific platform of the multi-platform image.
If the image or the server is not multi-platform capable, the command will error out if the platform does not match.
'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)`;

export const imageInspect = command({
  use: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Display detailed information on one or more images",
  args: minArgs(1),
  flags: { format: INSPECT_FORMAT, platform: { kind: STRING, help: PLATFORM_HELP } },
  run: async (ctx, args, flags) => {
    const platform = platformParameter(flags.platform);
    await inspectAll(ctx, args, flags.format, (ref) =>
      ctx.api.text({ method: "GET", target: target(`/images/${imagePath(ref)}/json`, { platform }) }),
    );
  },
});
