import { ANY_ARGS, command, ExitError } from "../../command.ts";
import { setCurrentContext } from "../../contexts/config-file.ts";
import { overridingVariable } from "../../contexts/endpoint.ts";
import { ContextStore, checkContextName, DEFAULT_CONTEXT } from "../../contexts/store.ts";

export const contextUse = command({
  use: "CONTEXT",
  short: "Set the current docker context",
  args: ANY_ARGS,
  flags: {},
  run: async (ctx, args) => {
    const [name = ""] = args;
    // docker lets cobra say it here
    if (args.length !== 1) throw new ExitError(1, `accepts 1 arg(s), received ${args.length}`);
    if (name !== DEFAULT_CONTEXT) {
      checkContextName(name);
      new ContextStore(ctx.configDir).get(name);
    }
    setCurrentContext(ctx.configDir, name === DEFAULT_CONTEXT ? "" : name);
    ctx.out(name);
    ctx.warn(`Current context is now ${JSON.stringify(name)}`);
    const variable = overridingVariable(ctx.env);
    if (name === DEFAULT_CONTEXT || variable === undefined) return;
    ctx.warn(
      `Warning: ${variable} environment variable overrides the active context. To use ${JSON.stringify(name)}, either set the global --context flag, or unset ${variable} environment variable.`,
    );
  },
});
