import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, DURATION_TEXT, INT, STRING } from "../../flag-kinds.ts";

export const leaseCreate = command({
  use: "[OPTIONS]",
  short: "Create a lease",
  long: "Create a lease and print its id. What is made with DHOW_LEASE set to it, or with the label dhow.lease=ID, is removed when the lease ends",
  args: NO_ARGS,
  flags: {
    grace: { kind: INT, initial: 10, help: "Seconds that a lease with --hold lives on without a connection" },
    hold: { kind: BOOLEAN, help: "End it when nobody has a connection open that holds it" },
    name: { kind: STRING, help: "Name of the lease" },
    pid: { kind: INT, help: "End it with this process of the engine's host" },
    ttl: { kind: DURATION_TEXT, help: "End it after this time (e.g. 10m)" },
  },
  run: async (ctx, _args, { name, ttl, pid, hold, grace }) => {
    const { Id } = await ctx.api.leases.create({ Name: name, TTL: ttl, Pid: pid, Hold: hold, GraceSeconds: grace });
    ctx.out(Id);
  },
});
