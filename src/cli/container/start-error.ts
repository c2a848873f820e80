const NOT_FOUND = ["executable file not found", "no such file or directory", "system cannot find the file specified"];
const NOT_ALLOWED = ["permission denied", "is a directory"];

/** The exit code for a container whose command didn't start: 127 when it isn't there, 126 when it may not run, else 125. */
export function startExitCode(message: string): number {
  if (NOT_FOUND.some((text) => message.includes(text))) return 127;
  if (NOT_ALLOWED.some((text) => message.includes(text))) return 126;
  return 125;
}
