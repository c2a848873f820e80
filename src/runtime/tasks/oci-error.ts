import { existsSync, readFileSync } from "node:fs";
import { DhowError } from "../../lib/mod.ts";

/** Exit codes that docker gives to processes that could not be started. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const UNKNOWN = 128;

/** What an OCI runtime wrote to its JSON log: the messages of its errors, in order. */
export function readRuntimeErrors(logPath: string): string[] {
  try {
    return runtimeErrors(readFileSync(logPath, "utf8"));
  } catch {
    return [];
  }
}

/** The messages of errors in the text of a runtime's JSON log, in order. */
export function runtimeErrors(text: string): string[] {
  const messages: string[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const message = errorOf(line);
    if (message !== undefined) messages.push(message);
  }
  return messages;
}

/** The message of an error's line; undefined for a line that is none, or was cut. */
function errorOf(line: string): string | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    if (typeof entry !== "object" || entry === null || !("msg" in entry) || typeof entry.msg !== "string") return undefined;
    if ("level" in entry && entry.level !== "error" && entry.level !== "fatal") return undefined;
    // what crun's part inside the container says comes as a line in a line
    return entry.msg.startsWith("{") ? (errorOf(entry.msg) ?? entry.msg) : entry.msg;
  } catch {
    return undefined;
  }
}

/** What kept a process from starting, in runc's words. */
function inWords(message: string, args: readonly string[]): string {
  const [program = ""] = args;
  const exec = `unable to start container process: exec: ${JSON.stringify(program)}`;
  if (/not found in \$PATH/.test(message)) {
    return program.includes("/") ? `${exec}: stat ${program}: no such file or directory` : `${exec}: executable file not found in $PATH`;
  }
  if (/^open executable: Operation not permitted/.test(message)) return `${exec}: is a directory`;
  if (/^open executable: /.test(message)) return `${exec}: permission denied`;
  return lowerErrno(message.replace(/^(?:runc run|runc create|exec) failed: /, ""));
}

const WRONG_KIND =
  ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is the expected type";

/** Docker's exit code for a failure, and what it adds to the text. @see moby v28.5.2 daemon/errors.go setExitCodeFromError */
function judged(text: string): { readonly exitCode: number; readonly addition: string } {
  if (/permission denied/i.test(text)) return { exitCode: NOT_EXECUTABLE, addition: "" };
  // its command line knows a command that can't be run by these words
  if (/is a directory/i.test(text)) return { exitCode: NOT_EXECUTABLE, addition: ": permission denied" };
  if (/not a directory/i.test(text)) return { exitCode: NOT_FOUND, addition: WRONG_KIND };
  if (/executable file not found|no such file or directory/i.test(text)) return { exitCode: NOT_FOUND, addition: "" };
  return { exitCode: UNKNOWN, addition: "" };
}

function startFailure(text: string): DhowError {
  const { exitCode, addition } = judged(text);
  return new DhowError("invalid", `${text}: unknown${addition}`, { details: { exitCode } });
}

/** A container's process could not be started. `details.exitCode` is docker's. */
export function createFailure(runtime: string, message: string, args: readonly string[]): DhowError {
  const step = "failed to create task for container: failed to create shim task: OCI runtime create failed";
  return startFailure(`${step}: ${runtime} create failed: ${inWords(message, args)}`);
}

/** A process could not be started in a running container. `details.exitCode` is docker's. */
export function execFailure(message: string, args: readonly string[]): DhowError {
  return startFailure(`OCI runtime exec failed: exec failed: ${inWords(message, args)}`);
}

/** Go prints errno texts with a small first letter; so do the clients expect them. */
function lowerErrno(message: string): string {
  return message.replace(/(^|: )([A-Z])(?=[a-z]+ )/g, (_, before: string, letter: string) => `${before}${letter.toLowerCase()}`).trim();
}

/** What is wrong with a runtime that ended without a word, as Go tells of a program that can't be run. `status` is the shell's that started it. */
export function silentFailure(program: string, status: number): string {
  if (status === NOT_FOUND && program.includes("/") && !existsSync(program)) return `fork/exec ${program}: no such file or directory`;
  return status === NOT_EXECUTABLE ? `fork/exec ${program}: permission denied` : `exit status ${status}`;
}
