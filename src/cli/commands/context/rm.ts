import { command, minArgs } from "../../command.ts";
import type { Context } from "../../context.ts";
import { currentContext, setCurrentContext } from "../../contexts/config-file.ts";
import { contextName } from "../../contexts/endpoint.ts";
import { ContextStore, DEFAULT_CONTEXT } from "../../contexts/store.ts";
import { forEachArg } from "../../each.ts";
import { BOOLEAN } from "../../flag-kinds.ts";

function remove(ctx: Context, name: string, force: boolean): void {
  const quoted = JSON.stringify(name);
  const store = new ContextStore(ctx.configDir);
  if (name === DEFAULT_CONTEXT) throw new Error(`context ${quoted} cannot be removed`);
  if (!force && !store.has(name)) throw new Error(`context ${quoted} does not exist`);
  if (name === contextName(ctx.endpointSource) && !force) throw new Error(`context ${quoted} is in use, set -f flag to force remove`);
  if (currentContext(ctx.configDir, () => {}) === name) setCurrentContext(ctx.configDir, "");
  store.remove(name);
}

export const contextRm = command({
  use: "CONTEXT [CONTEXT...]",
  short: "Remove one or more contexts",
  aliases: ["context rm", "context remove"],
  args: minArgs(1),
  flags: { force: { kind: BOOLEAN, short: "f", help: "Force the removal of a context in use" } },
  run: (ctx, args, flags) =>
    forEachArg(args, async (name) => {
      remove(ctx, name, flags.force);
      ctx.out(name);
    }),
});
