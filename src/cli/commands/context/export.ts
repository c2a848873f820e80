import { writeFileSync } from "node:fs";
import { errnoCode } from "../../../lib/mod.ts";
import { command, ExitError } from "../../command.ts";
import { packContext } from "../../contexts/archive.ts";
import { wholeContext } from "../../contexts/docker-endpoint.ts";
import { checkContextName, DEFAULT_CONTEXT } from "../../contexts/store.ts";
import { fileError } from "../../env-file.ts";

export const contextExport = command({
  use: "[OPTIONS] CONTEXT [FILE|-]",
  short: "Export a context to a tar archive FILE or a tar stream on STDOUT.",
  args: { min: 1, max: 2 },
  flags: {},
  run: async (ctx, [name = "", file = `${name}.dockercontext`]) => {
    if (name !== DEFAULT_CONTEXT) checkContextName(name);
    const archive = await packContext(wholeContext(ctx.endpointSource, name));
    if (file === "-") {
      if (ctx.stdout.isTerminal) throw new ExitError(1, "cowardly refusing to export to a terminal, specify a file path");
      ctx.stdout.write(archive);
      return;
    }
    try {
      // there are keys in it
      writeFileSync(file, archive, { flag: "wx", mode: 0o600 });
    } catch (error) {
      throw errnoCode(error) === "EEXIST" ? new ExitError(1, `open ${file}: file exists`) : fileError("open", file, error);
    }
    ctx.warn(`Written file ${JSON.stringify(file)}`);
  },
});
