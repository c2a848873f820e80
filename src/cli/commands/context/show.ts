import { command, NO_ARGS } from "../../command.ts";
import { contextName } from "../../contexts/endpoint.ts";

export const contextShow = command({
  use: "",
  short: "Print the name of the current context",
  args: NO_ARGS,
  flags: {},
  run: async (ctx) => ctx.out(contextName(ctx.endpointSource)),
});
