import { ExitError } from "./command.ts";
import type { Context } from "./context.ts";
import { errorText } from "./error-text.ts";

/** Does one thing after the other, all of them; what failed goes to stderr at the end and makes the exit code 1. */
export async function forEachArg(args: readonly string[], work: (arg: string) => Promise<void>): Promise<void> {
  const failures: string[] = [];
  for (const arg of args) {
    try {
      await work(arg);
    } catch (error) {
      failures.push(errorText(error));
    }
  }
  if (failures.length > 0) throw new ExitError(1, failures.join("\n"));
}

/** As `forEachArg`, many at once; output stays in the order of the arguments. */
export async function forAllArgs(ctx: Context, args: readonly string[], work: (arg: string) => Promise<void>): Promise<void> {
  const results = await Promise.allSettled(args.map(work));
  const failures: string[] = [];
  results.forEach((result, i) => {
    if (result.status === "fulfilled") ctx.out(args[i] ?? "");
    else failures.push(errorText(result.reason));
  });
  if (failures.length > 0) throw new ExitError(1, failures.join("\n"));
}
