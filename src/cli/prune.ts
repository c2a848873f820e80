import { humanSize } from "../lib/mod.ts";
import { ExitError } from "./command.ts";
import type { Context } from "./context.ts";

/** Asks for a yes; what isn't one is a no. */
export async function confirm(ctx: Context, question: string): Promise<boolean> {
  ctx.stdout.write(`${question} [y/N] `);
  const answer = await firstLine();
  return /^y$/i.test(answer.trim());
}

async function firstLine(): Promise<string> {
  let text = "";
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.includes("\n")) break;
  }
  return text.split("\n")[0] ?? "";
}

/** @throws ExitError when the user doesn't say yes */
export async function confirmPrune(ctx: Context, isForced: boolean, warning: string): Promise<void> {
  if (isForced) return;
  if (!(await confirm(ctx, `${warning}\nAre you sure you want to continue?`))) throw new ExitError(0);
}

/** `Total reclaimed space: 1.5MB` */
export function reclaimed(bytes: number): string {
  return `Total reclaimed space: ${humanSize(bytes)}`;
}
