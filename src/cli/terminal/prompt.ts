import { ExitError } from "../command.ts";
import type { Context } from "../context.ts";
import { isTerminal } from "./is-terminal.ts";

const STDIN = 0;
const ENTER = new Set(["\r", "\n"]);
const BACKSPACE = new Set(["\x7f", "\b"]);
const END = "\x04";
/** 128 + SIGINT */
const INTERRUPTED = 130;
const INTERRUPT = "\x03";

/** Whether somebody can answer. */
export function canPrompt(): boolean {
  return isTerminal(STDIN);
}

/** Asks on the terminal for a line; without `isShown` it stays invisible. @throws ExitError when the user interrupts */
export async function prompt(ctx: Context, question: string, { isShown }: { readonly isShown: boolean }): Promise<string> {
  const { stdin } = process;
  const echo = (text: string): void => void (isShown && ctx.stdout.write(text));
  const answer = Promise.withResolvers<string>();
  let line = "";
  const onKey = (key: string): boolean => {
    if (key === INTERRUPT) answer.reject(new ExitError(INTERRUPTED));
    else if (ENTER.has(key) || key === END) answer.resolve(line);
    else if (!BACKSPACE.has(key)) {
      line += key;
      echo(key);
    } else if (line !== "") {
      line = line.slice(0, -1);
      echo("\b \b");
    }
    return key === INTERRUPT || key === END || ENTER.has(key);
  };
  const onData = (chunk: Uint8Array): void => {
    const keys = [...Buffer.from(chunk).toString()];
    const end = keys.findIndex(onKey);
    if (end < 0) return;
    stdin.off("data", onData);
    stdin.pause();
    // what was typed ahead is the next answer
    if (end + 1 < keys.length) stdin.unshift(keys.slice(end + 1).join(""));
  };
  ctx.stdout.write(question);
  stdin.setRawMode(true);
  stdin.on("data", onData);
  stdin.on("end", () => answer.resolve(line));
  stdin.resume();
  try {
    return await answer.promise;
  } finally {
    stdin.setRawMode(false);
    ctx.stdout.write("\n");
  }
}
