import { TTL_LABEL } from "../../../spec/engine/mod.ts";
import { command, ExitError, maxArgs } from "../../command.ts";
import { DURATION_TEXT, LIST, MAP, pairs, STRING } from "../../flag-kinds.ts";

export const volumeCreate = command({
  use: "[OPTIONS] [VOLUME]",
  short: "Create a volume",
  args: maxArgs(1),
  flags: {
    driver: { kind: STRING, short: "d", initial: "local", help: 'Specify volume driver name (default "local")' },
    label: { kind: LIST, help: "Set metadata for a volume" },
    name: { kind: STRING, isHidden: true, help: "Specify volume name" },
    ttl: { kind: DURATION_TEXT, isOwn: true, help: "Remove the volume when this time is over (e.g. 10m) and nothing uses it" },
    opt: { kind: MAP, short: "o", help: "Set driver specific options (default map[])" },
  },
  run: async (ctx, [argument], flags) => {
    if (argument !== undefined && flags.name !== "") {
      throw new ExitError(1, "conflicting options: cannot specify a volume-name through both --name and as a positional arg");
    }
    const name = argument ?? flags.name;
    const labels = { ...pairs(flags.label), ...(flags.ttl !== "" && { [TTL_LABEL]: flags.ttl }) };
    const { Name = "" } = await ctx.api.volumes.create({
      ...(name !== "" && { Name: name }),
      Driver: flags.driver,
      ...(Object.keys(flags.opt).length > 0 && { DriverOpts: flags.opt }),
      ...(Object.keys(labels).length > 0 && { Labels: labels }),
    });
    ctx.out(Name);
  },
});
