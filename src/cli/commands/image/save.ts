import { closeSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { command, ExitError, minArgs } from "../../command.ts";
import { fileError } from "../../env-file.ts";
import { STRING } from "../../flag-kinds.ts";

/** Writes beside `path` first: a save that fails leaves what was there. */
async function writeFile(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${basename(path)}${process.pid}`);
  const fd = openSync(temporary, "wx", 0o600);
  try {
    for await (const chunk of chunks) for (let rest = chunk; rest.length > 0; ) rest = rest.subarray(writeSync(fd, rest));
    closeSync(fd);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

function checkPath(path: string): void {
  try {
    statSync(dirname(path));
  } catch (error) {
    throw new Error(`failed to save image: invalid output path: ${fileError("stat", dirname(path), error).message}`);
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new Error(`failed to save image: invalid output path: ${JSON.stringify(path)} must be a regular file`);
  }
}

/** A device or a pipe is written to as it is. */
function isSpecial(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && !stat.isFile();
}

export const save = command({
  use: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Save one or more images to a tar archive (streamed to STDOUT by default)",
  aliases: ["image save", "save"],
  args: minArgs(1),
  flags: {
    output: { kind: STRING, short: "o", help: "Write to a file, instead of STDOUT" },
    platform: { kind: STRING, help: 'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")' },
  },
  run: async (ctx, refs, flags) => {
    if (flags.output === "" && ctx.stdout.isTerminal) {
      throw new ExitError(1, "cowardly refusing to save to a terminal. Use the -o flag or redirect");
    }
    if (flags.output !== "") checkPath(flags.output);
    const chunks = await ctx.api.transfer.save(refs, { platforms: flags.platform === "" ? undefined : [flags.platform] });
    if (flags.output === "") for await (const chunk of chunks) await ctx.stdout.writeSoon(chunk);
    else if (isSpecial(flags.output)) {
      const fd = openSync(flags.output, "w");
      for await (const chunk of chunks) for (let rest = chunk; rest.length > 0; ) rest = rest.subarray(writeSync(fd, rest));
      closeSync(fd);
    } else await writeFile(flags.output, chunks);
  },
});
