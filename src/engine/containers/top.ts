import { DhowError, errnoCode } from "../../lib/mod.ts";
import type { ContainerTopResponse } from "../../spec/engine/mod.ts";

/**
 * Keeps the rows of a `ps` table that belong to `pids`. The last column takes the rest of its line.
 * @throws internal when the table has no PID column
 */
export function parsePs(output: string, pids: ReadonlySet<number>): ContainerTopResponse {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  const titles = (lines[0] ?? "").trim().split(/\s+/);
  const pidColumn = titles.indexOf("PID");
  if (pidColumn < 0) throw new DhowError("internal", "Couldn't find PID field in ps output");
  const rows: string[][] = [];
  for (const line of lines.slice(1)) {
    const words = line.trim().split(/\s+/);
    if (!pids.has(Number(words[pidColumn]))) continue;
    const row = words.slice(0, titles.length - 1);
    row.push(words.slice(titles.length - 1).join(" "));
    rows.push(row);
  }
  return { Titles: titles, Processes: rows };
}

/** A column of another name that calls itself PID would decide which of the host's processes are shown. @throws internal, as docker */
function checkArguments(psArgs: string): void {
  for (const [, key = "", value = ""] of psArgs.matchAll(/\s+(\S*)=\s*(PID\S*)/g)) {
    if (key !== "pid") throw new DhowError("internal", `specifying "${key}=${value}" is not allowed`);
  }
}

/** Runs the host's `ps` and keeps what belongs to `pids`. @throws internal for arguments that ps refuses */
export async function top(pids: readonly number[], psArgs: string): Promise<ContainerTopResponse> {
  checkArguments(psArgs);
  const given = psArgs.split(/\s+/).filter((arg) => arg !== "");
  const args = given.length > 0 ? given : ["-ef"];
  // without the processes named, arguments such as `-o pid,comm` show those of a terminal; with them, some (`f`) are refused
  const named = pids.length > 0 ? await ps([...args, `-q${pids.join(",")}`]) : undefined;
  const { output, errors, exitCode } = named?.exitCode === 0 ? named : await ps(args);
  if (exitCode !== 0) throw new DhowError("internal", `ps: ${(errors.trim().split("\n")[0] ?? "") || `exit status ${exitCode}`}`);
  return parsePs(output, new Set(pids));
}

async function ps(args: readonly string[]): Promise<{ readonly output: string; readonly errors: string; readonly exitCode: number }> {
  let child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  if (args.some((arg) => arg.includes("\0"))) throw new DhowError("internal", "ps: fork/exec /usr/bin/ps: invalid argument");
  try {
    child = Bun.spawn(["ps", ...args], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  } catch (cause) {
    if (errnoCode(cause) === "ENOENT") throw new DhowError("internal", "ps: not found on this host; install procps", { cause });
    throw cause;
  }
  const [output, errors, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { output, errors, exitCode };
}
