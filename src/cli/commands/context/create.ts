import { command, ExitError, exactArgs } from "../../command.ts";
import type { Context } from "../../context.ts";
import {
  DEFAULT_DESCRIPTION,
  ENDPOINT_PAIRS,
  endpointHelp,
  endpointOf,
  type WholeContext,
  wholeContext,
} from "../../contexts/docker-endpoint.ts";
import { contextName } from "../../contexts/endpoint.ts";
import { ContextStore, checkContextName, DEFAULT_CONTEXT } from "../../contexts/store.ts";
import { STRING } from "../../flag-kinds.ts";

/** The copy of another context; the default one gets the description that docker gives it. */
function copyOf(ctx: Context, from: string): WholeContext {
  const { meta, tls } = wholeContext(ctx.endpointSource, from);
  return from === DEFAULT_CONTEXT ? { meta: { ...meta, Metadata: { Description: DEFAULT_DESCRIPTION } }, tls } : { meta, tls };
}

export const contextCreate = command({
  use: "[OPTIONS] CONTEXT",
  short: "Create a context",
  long: endpointHelp("Create a context", "create"),
  args: exactArgs(1),
  flags: {
    description: { kind: STRING, help: "Description of the context" },
    docker: { kind: ENDPOINT_PAIRS, help: "set the docker endpoint (default [])" },
    from: { kind: STRING, help: "create context from a named context" },
  },
  run: async (ctx, [name = ""], flags, changed) => {
    const store = new ContextStore(ctx.configDir);
    checkContextName(name);
    if (store.has(name)) throw new ExitError(1, `context ${JSON.stringify(name)} already exists`);
    if (flags.from !== "" && changed.has("docker")) throw new ExitError(1, "cannot use --docker flag when --from is set");
    const description = flags.description === "" ? {} : { Description: flags.description };
    if (changed.has("docker")) {
      const { endpoint, tls } = endpointOf(ctx.endpointSource, flags.docker);
      store.put({ Name: name, Metadata: description, Endpoints: { docker: endpoint } }, { docker: tls });
    } else {
      const { meta, tls } = copyOf(ctx, flags.from || contextName(ctx.endpointSource));
      store.put({ Name: name, Metadata: { ...meta.Metadata, ...description }, Endpoints: meta.Endpoints }, tls);
    }
    ctx.out(name);
    ctx.warn(`Successfully created context ${JSON.stringify(name)}`);
  },
});
