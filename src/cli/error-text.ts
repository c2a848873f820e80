import { DhowError, errorMessage } from "../lib/mod.ts";

/** An error as the command line shows it: what the engine said is marked as such. */
export function errorText(error: unknown): string {
  if (error instanceof DhowError && error.details["status"] !== undefined) return `Error response from daemon: ${error.message}`;
  if (error instanceof AggregateError) return error.errors.map(errorText).join("\n");
  return errorMessage(error);
}
