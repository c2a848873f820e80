import { createReadStream } from "node:fs";
import { command, ExitError } from "../../command.ts";
import { fileError } from "../../env-file.ts";
import { LIST, pairs, STRING } from "../../flag-kinds.ts";
import { isStdinTerminal } from "../../terminal/stdin.ts";

const READ_BYTES = 1 << 20;

async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path, { highWaterMark: READ_BYTES }) as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw fileError("open", path, error);
  }
}

export const volumeImport = command({
  use: "[OPTIONS] VOLUME [FILE|-]",
  short: "Make a volume with what is in a tar archive, compressed or not",
  isOwn: true,
  args: { min: 1, max: 2 },
  flags: {
    label: { kind: LIST, help: "Set metadata for the volume" },
    size: { kind: STRING, help: "How much the volume can hold (e.g. 1g)" },
  },
  run: async (ctx, [name = "", file = "-"], flags) => {
    if (file === "-" && isStdinTerminal()) throw new ExitError(1, "requested import from stdin, but stdin is a terminal");
    const { Name = "" } = await ctx.api.volumeContents.import(name, readFile(file === "-" ? "/dev/stdin" : file), {
      labels: pairs(flags.label),
      size: flags.size || undefined,
    });
    ctx.out(Name);
  },
});
