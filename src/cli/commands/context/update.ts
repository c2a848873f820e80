import { command, exactArgs } from "../../command.ts";
import { ENDPOINT_PAIRS, endpointHelp, endpointOf } from "../../contexts/docker-endpoint.ts";
import { ContextStore, checkContextName } from "../../contexts/store.ts";
import { STRING } from "../../flag-kinds.ts";

export const contextUpdate = command({
  use: "[OPTIONS] CONTEXT",
  short: "Update a context",
  long: endpointHelp("Update a context", "update"),
  args: exactArgs(1),
  flags: {
    description: { kind: STRING, help: "Description of the context" },
    docker: { kind: ENDPOINT_PAIRS, help: "set the docker endpoint (default [])" },
  },
  run: async (ctx, [name = ""], flags, changed) => {
    const store = new ContextStore(ctx.configDir);
    checkContextName(name);
    const meta = store.get(name);
    const given = changed.has("docker") ? endpointOf(ctx.endpointSource, flags.docker) : undefined;
    store.put(
      {
        Name: name,
        Metadata: { ...meta.Metadata, ...(flags.description === "" ? {} : { Description: flags.description }) },
        Endpoints: given === undefined ? meta.Endpoints : { ...meta.Endpoints, docker: given.endpoint },
      },
      given === undefined ? {} : { docker: given.tls },
    );
    ctx.out(name);
    ctx.warn(`Successfully updated context ${JSON.stringify(name)}`);
  },
});
