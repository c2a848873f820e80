import { basename, resolve } from "node:path";
import { command, exactArgs } from "../../command.ts";
import { BOOLEAN, LIST, STRING } from "../../flag-kinds.ts";
import { QUOTA } from "./quota.ts";

export const socketCreate = command({
  use: "[OPTIONS] NAME|PATH",
  short: "Create a scoped socket",
  long: "Create a socket of the Engine API that sees and may do only what its rules allow, and print its path. A rule is NOUN:VERB[,VERB...] [label=KEY[=VALUE]]",
  args: exactArgs(1),
  flags: {
    allow: { kind: LIST, word: "rule", help: 'Let its clients do this (e.g. "containers:read,create label=ci")' },
    audit: { kind: BOOLEAN, help: "Record every request" },
    group: { kind: STRING, help: "Group that may connect" },
    quota: { kind: QUOTA, help: "Limit what is made through it (e.g. containers=20,volumes=5,networks=3,memory=4g,cpus=2)" },
    unconfined: { kind: BOOLEAN, help: "Let its containers have what leads to the host, such as --privileged" },
  },
  run: async (ctx, [given = ""], { allow, audit, group, quota, unconfined }) => {
    const { Path } = await ctx.api.sockets.create({
      Name: basename(given),
      Path: given.includes("/") ? resolve(given) : "",
      Allow: allow,
      Quota: quota,
      Group: group,
      Audit: audit,
      Unconfined: unconfined,
    });
    ctx.out(Path);
  },
});
