import { readFileSync } from "node:fs";
import { command, ExitError, exactArgs } from "../../command.ts";
import { unpackContext } from "../../contexts/archive.ts";
import { ContextStore, checkContextName } from "../../contexts/store.ts";
import { fileError } from "../../env-file.ts";

function readArchive(file: string): Uint8Array {
  try {
    return readFileSync(file === "-" ? "/dev/stdin" : file);
  } catch (error) {
    throw fileError("open", file, error);
  }
}

export const contextImport = command({
  use: "CONTEXT FILE|-",
  short: "Import a context from a tar or zip file",
  args: exactArgs(2),
  flags: {},
  run: async (ctx, [name = "", file = ""]) => {
    const store = new ContextStore(ctx.configDir);
    checkContextName(name);
    if (store.has(name)) throw new ExitError(1, `context ${JSON.stringify(name)} already exists`);
    const { meta, tls } = await unpackContext(readArchive(file), name);
    store.put(meta, tls);
    ctx.out(name);
    ctx.warn(`Successfully imported context ${JSON.stringify(name)}`);
  },
});
