import { closeSync, lstatSync, openSync, renameSync, rmSync, type Stats, statSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileError } from "./env-file.ts";

/** A file that a stream goes to; it takes the place of what is there when all of it has come. */
export interface OutputFile {
  /** Writes everything to a file beside the other one and renames it: what was there stays when it fails. */
  write(chunks: AsyncIterable<Uint8Array>): Promise<void>;
}

/** Looks whether `path` can be written. @throws in docker's words, `action` in front */
export function outputFile(path: string, action: string): OutputFile {
  const problem = problemOf(path);
  if (problem !== undefined) throw new Error(`${action}: ${problem}`);
  return { write: (chunks) => writeAtomically(path, chunks) };
}

function problemOf(path: string): string | undefined {
  const parent = path.endsWith("/") ? path.slice(0, -1) : dirname(path);
  try {
    if (!statSync(parent).isDirectory()) return `invalid output path: stat ${parent}: not a directory`;
  } catch (error) {
    return `invalid output path: ${fileError("stat", parent, error).message}`;
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : kindProblem(found);
}

function kindProblem(stat: Stats): string | undefined {
  if (stat.isDirectory()) return "cannot write to a directory";
  if (stat.isSymbolicLink()) return "cannot write to a symbolic link directly";
  if (stat.isFIFO()) return "cannot write to a named pipe (FIFO)";
  if (stat.isSocket()) return "cannot write to a socket";
  if (stat.isCharacterDevice()) return "cannot write to a character device file";
  return stat.isBlockDevice() ? "cannot write to a block device file" : undefined;
}

async function writeAtomically(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
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
