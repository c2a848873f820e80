import { readFileSync } from "node:fs";
import { DhowError } from "../../lib/mod.ts";

/** Exit codes that docker gives to processes that could not be started. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;
const DAEMON_FAILED = 125;

/** What an OCI runtime wrote to its JSON log: the messages of its errors, in order. */
export function readRuntimeErrors(logPath: string): string[] {
  let text: string;
  try {
    text = readFileSync(logPath, "utf8");
  } catch {
    return [];
  }
  const messages: string[] = [];
  for (const line of text.split("\n")) {
    if (line === "") continue;
    try {
      const entry: unknown = JSON.parse(line);
      if (typeof entry !== "object" || entry === null || !("msg" in entry) || typeof entry.msg !== "string") continue;
      if ("level" in entry && entry.level !== "error" && entry.level !== "fatal") continue;
      messages.push(entry.msg);
    } catch {
      // a line that was cut
    }
  }
  return messages;
}

/** What kept a process from starting, in runc's words, and docker's exit code for it. */
export function describeStartFailure(message: string, args: readonly string[]): { readonly text: string; readonly exitCode: number } {
  const program = JSON.stringify(args[0] ?? "");
  const container = "unable to start container process";
  if (/not found in \$PATH/.test(message)) {
    if ((args[0] ?? "").includes("/"))
      return { text: `${container}: exec: ${program}: stat ${args[0]}: no such file or directory`, exitCode: NOT_FOUND };
    return { text: `${container}: exec: ${program}: executable file not found in $PATH`, exitCode: NOT_FOUND };
  }
  if (/^open executable: Operation not permitted/.test(message))
    return { text: `${container}: exec: ${program}: is a directory`, exitCode: NOT_EXECUTABLE };
  if (/^open executable: /.test(message)) return { text: `${container}: exec: ${program}: permission denied`, exitCode: NOT_EXECUTABLE };
  const text = lowerErrno(message.replace(/^(?:runc run|runc create|exec) failed: /, ""));
  if (/executable file not found|no such file or directory/.test(text)) return { text, exitCode: NOT_FOUND };
  if (/permission denied|is a directory/.test(text)) return { text, exitCode: NOT_EXECUTABLE };
  return { text, exitCode: DAEMON_FAILED };
}

/** A container's process could not be started. `details.exitCode` is docker's. */
export function createFailure(runtime: string, message: string, args: readonly string[]): DhowError {
  const { text, exitCode } = describeStartFailure(message, args);
  return new DhowError(
    "invalid",
    `failed to create task for container: failed to create shim task: OCI runtime create failed: ${runtime} create failed: ${text}: unknown`,
    {
      details: { exitCode },
    },
  );
}

/** A process could not be started in a running container. `details.exitCode` is docker's. */
export function execFailure(message: string, args: readonly string[]): DhowError {
  const { text, exitCode } = describeStartFailure(message, args);
  return new DhowError("invalid", `OCI runtime exec failed: exec failed: ${text}: unknown`, { details: { exitCode } });
}

/** Go prints errno texts with a small first letter; so do the clients expect them. */
function lowerErrno(message: string): string {
  return message.replace(/(^|: )([A-Z])(?=[a-z]+ )/g, (_, before: string, letter: string) => `${before}${letter.toLowerCase()}`).trim();
}
