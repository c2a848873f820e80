/** Runs the daemon until it is told to stop. @returns the exit code. */
export function runDaemon(_argv: readonly string[]): Promise<number> {
  process.stderr.write("dhow: the daemon is not there yet\n");
  return Promise.resolve(1);
}
