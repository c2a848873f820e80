import { isKind } from "../../../lib/mod.ts";
import { command, ExitError, minArgs } from "../../command.ts";
import { errorText } from "../../error-text.ts";
import { BOOLEAN } from "../../flag-kinds.ts";

export const rm = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Remove one or more containers",
  aliases: ["container rm", "container remove", "rm"],
  args: minArgs(1),
  flags: {
    force: { kind: BOOLEAN, short: "f", help: "Force the removal of a running container (uses SIGKILL)" },
    link: { kind: BOOLEAN, short: "l", help: "Remove the specified link" },
    volumes: { kind: BOOLEAN, short: "v", help: "Remove anonymous volumes associated with the container" },
  },
  run: async (ctx, args, { force, link, volumes }) => {
    const remove = async (name: string) => {
      const ref = name.replace(/^\/+|\/+$/g, "");
      if (ref === "") throw new Error("container name cannot be empty");
      await ctx.api.containers.remove(ref, { force, volumes, link });
    };
    const failures: string[] = [];
    const results = await Promise.allSettled(args.map(remove));
    for (const [i, result] of results.entries()) {
      if (result.status === "fulfilled") ctx.out(args[i] ?? "");
      // What isn't there is what --force wants.
      else if (force && isKind(result.reason, "notFound")) ctx.warn(errorText(result.reason));
      else failures.push(errorText(result.reason));
    }
    if (failures.length > 0) throw new ExitError(1, failures.join("\n"));
  },
});
