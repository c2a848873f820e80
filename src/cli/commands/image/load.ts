import { createReadStream, statSync } from "node:fs";
import { command, ExitError, NO_ARGS } from "../../command.ts";
import { checkPlatform } from "../../container/platform.ts";
import { fileError } from "../../env-file.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { showProgress } from "../../progress.ts";
import { isStdinTerminal } from "../../terminal/stdin.ts";

const READ_BYTES = 1 << 20;

async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  const stream = createReadStream(path, { highWaterMark: READ_BYTES });
  try {
    yield* stream as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw fileError("read", path, error);
  }
}

function checkFile(path: string): void {
  try {
    statSync(path);
  } catch (error) {
    throw fileError("open", path, error);
  }
}

export const load = command({
  use: "[OPTIONS]",
  short: "Load an image from a tar archive or STDIN",
  aliases: ["image load", "load"],
  args: NO_ARGS,
  flags: {
    input: { kind: STRING, short: "i", help: "Read from tar archive file, instead of STDIN" },
    platform: { kind: STRING, help: 'Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")' },
    quiet: { kind: BOOLEAN, short: "q", help: "Suppress the load output" },
  },
  run: async (ctx, _args, flags) => {
    if (flags.input === "" && isStdinTerminal()) throw new ExitError(1, "requested load from stdin, but stdin is empty");
    if (flags.input !== "") checkFile(flags.input);
    checkPlatform(flags.platform, "invalid platform");
    const quiet = flags.quiet || !ctx.stdout.isTerminal;
    const messages = await ctx.api.transfer.load(readFile(flags.input || "/dev/stdin"), {
      quiet,
      platforms: flags.platform === "" ? undefined : [flags.platform],
    });
    await showProgress(ctx.stdout, messages);
  },
});
