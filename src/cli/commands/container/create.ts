import { command, ExitError, minArgs } from "../../command.ts";
import { CONTAINER_FLAGS } from "../../container/container-flags.ts";
import { containerRequest } from "../../container/container-request.ts";
import { checkPull, createContainer } from "../../container/create-container.ts";
import { checkPlatform } from "../../container/platform.ts";
import { errorText } from "../../error-text.ts";
import { proxyVariables } from "../../settings.ts";

const EXIT_USAGE = 125;

export const create = command({
  use: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Create a new container",
  aliases: ["container create", "create"],
  args: minArgs(1),
  isInterspersed: false,
  flags: CONTAINER_FLAGS,
  run: async (ctx, [image = "", ...args], flags, changed) => {
    const prepare = () => {
      checkPull(flags.pull);
      return containerRequest({ flags, changed, image, args, isDetached: false, proxies: proxyVariables(ctx, flags.env) });
    };
    let request: ReturnType<typeof prepare>;
    try {
      request = prepare();
    } catch (error) {
      throw new ExitError(EXIT_USAGE, `${ctx.name}: ${errorText(error)}\n\nRun '${ctx.name} ${ctx.path} --help' for more information`);
    }
    checkPlatform(flags.platform, "error parsing specified platform");
    ctx.out(await createContainer(ctx, request, flags));
  },
});
