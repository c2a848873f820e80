import type { Context } from "./context.ts";
import type { FlagTable, FlagValues } from "./flags.ts";

/** How many arguments a command takes. */
export type ArgsRule = { readonly min: number; readonly max: number };

export const NO_ARGS: ArgsRule = { min: 0, max: 0 };
export const exactArgs = (n: number): ArgsRule => ({ min: n, max: n });
export const minArgs = (n: number): ArgsRule => ({ min: n, max: Number.POSITIVE_INFINITY });
export const maxArgs = (n: number): ArgsRule => ({ min: 0, max: n });
export const ANY_ARGS: ArgsRule = minArgs(0);

/** Which flags were given. */
export type Changed<F> = ReadonlySet<keyof F & string>;

/** A command as data, and what it does. */
export interface CommandSpec<F extends FlagTable> {
  /** What follows the command's name in its usage: `[OPTIONS] CONTAINER`. */
  readonly use: string;
  readonly short: string;
  /** What `--help` says instead of `short`. */
  readonly long?: string;
  /** Every name of the command, in the order of its help; one or none needs no list. */
  readonly aliases?: readonly string[];
  readonly args: ArgsRule;
  readonly flags: F;
  /** No help lists it: a command for programs. */
  readonly isHidden?: boolean;
  /** Docker has no such command: left out of `docker --help`. */
  readonly isOwn?: boolean;
  /** False where everything after the first argument belongs to the container's command. */
  readonly isInterspersed?: boolean;
  /** Every word is an argument, also those that look like flags. */
  readonly hasRawArgs?: boolean;
  /** Returns the exit code; nothing is 0. */
  run(ctx: Context, args: readonly string[], flags: FlagValues<F>, changed: Changed<F>): Promise<number | undefined> | Promise<void>;
}

/** A command whose flags' types are forgotten: what the dispatcher handles. */
export interface Command extends Omit<CommandSpec<FlagTable>, "run"> {
  run(ctx: Context, args: readonly string[], flags: never, changed: ReadonlySet<string>): Promise<number | undefined> | Promise<void>;
}

/** Declares a command; its `run` gets flags typed by the table. */
export function command<const F extends FlagTable>(spec: CommandSpec<F>): Command {
  return spec as unknown as Command;
}

/** Ends a command with `code`; a message goes to stderr as it is. */
export class ExitError extends Error {
  readonly code: number;

  constructor(code: number, message = "") {
    super(message);
    this.code = code;
  }
}
