import { createReadStream, statSync } from "node:fs";
import { parseReference } from "../../../spec/reference.ts";
import { command, minArgs } from "../../command.ts";
import { fileError } from "../../env-file.ts";
import { LIST, STRING } from "../../flag-kinds.ts";
import { showProgress } from "../../progress.ts";

const READ_BYTES = 1 << 20;

async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path, { highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>;
}

export const imageImport = command({
  use: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
  short: "Import the contents from a tarball to create a filesystem image",
  aliases: ["image import", "import"],
  args: minArgs(1),
  flags: {
    change: { kind: LIST, short: "c", help: "Apply Dockerfile instruction to the created image" },
    message: { kind: STRING, short: "m", help: "Set commit message for imported image" },
    platform: { kind: STRING, help: "Set platform if server is multi-platform capable" },
  },
  run: async (ctx, [source = "", name = ""], flags) => {
    const reference = name === "" ? null : parseReference(name);
    const repo = reference === null ? "" : name.slice(0, reference.tag === null ? undefined : name.lastIndexOf(":"));
    const tag = reference?.tag ?? "";
    const { message, platform } = flags;
    const options = { repo, tag, message, changes: flags.change, platform };
    if (/^https?:\/\//.test(source)) return showProgress(ctx.stdout, await ctx.api.transfer.import({ url: source }, options));
    const path = source === "-" ? "/dev/stdin" : source;
    try {
      if (source !== "-") statSync(path);
    } catch (error) {
      throw fileError("open", path, error);
    }
    const messages = await ctx.api.transfer.import(readFile(path), options);
    await showProgress(ctx.stdout, messages);
  },
});
