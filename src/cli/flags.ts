import type { Flag } from "./flag-kinds.ts";

export type FlagTable = Readonly<Record<string, Flag<never> | Flag<unknown>>>;

/** The values of a command's flags, by their long names. */
export type FlagValues<F> = { readonly [K in keyof F]: F[K] extends { readonly kind: { readonly initial: infer V } } ? V : never };

/** A mistake in the use of flags; its text is docker's. */
export class FlagError extends Error {}

/** `--help` was asked for. */
export class HelpRequest extends Error {
  readonly isShorthand: boolean;

  constructor(isShorthand: boolean) {
    super("help requested");
    this.isShorthand = isShorthand;
  }
}

export interface ParsedFlags {
  readonly values: Readonly<Record<string, unknown>>;
  /** The flags that were given. */
  readonly changed: ReadonlySet<string>;
  readonly args: readonly string[];
  /** Lines about deprecated flags, for stdout. */
  readonly notes: readonly string[];
}

/** Reads a command line as pflag does: `--flag=value`, `-abc`, `--`; flags end at the first argument unless `isInterspersed`. @throws FlagError, HelpRequest */
export function parseFlags(table: FlagTable, argv: readonly string[], isInterspersed = true): ParsedFlags {
  return new Parser(table).parse(argv, isInterspersed);
}

class Parser {
  readonly #table: Readonly<Record<string, Flag>>;
  readonly #short = new Map<string, string>();
  readonly #values: Record<string, unknown> = {};
  readonly #changed = new Set<string>();
  readonly #notes: string[] = [];

  constructor(table: FlagTable) {
    this.#table = table as Readonly<Record<string, Flag>>;
    for (const [name, flag] of Object.entries(this.#table)) {
      if (flag.short !== undefined) this.#short.set(flag.short, name);
      if (flag.alias === undefined) this.#values[name] = flag.initial ?? flag.kind.initial;
    }
  }

  parse(argv: readonly string[], isInterspersed: boolean): ParsedFlags {
    const args: string[] = [];
    const rest = [...argv];
    for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
      if (arg === "--") {
        args.push(...rest);
        break;
      }
      if (arg.startsWith("--")) this.#long(arg, rest);
      else if (arg.startsWith("-") && arg.length > 1) this.#shorts(arg, rest);
      else {
        args.push(arg);
        if (isInterspersed) continue;
        args.push(...rest);
        break;
      }
    }
    return { values: this.#values, changed: this.#changed, args, notes: this.#notes };
  }

  #long(arg: string, rest: string[]): void {
    const equals = arg.indexOf("=");
    const name = equals < 0 ? arg.slice(2) : arg.slice(2, equals);
    if (name === "" || name.startsWith("-") || name.startsWith("=")) throw new FlagError(`bad flag syntax: ${arg}`);
    const flag = Object.hasOwn(this.#table, name) ? this.#table[name] : undefined;
    if (flag === undefined) {
      if (name !== "help") throw new FlagError(`unknown flag: --${name}`);
      this.#help(equals < 0 ? "true" : arg.slice(equals + 1));
      return;
    }
    const text = equals >= 0 ? arg.slice(equals + 1) : (flag.kind.bare ?? rest.shift());
    if (text === undefined) throw new FlagError(`flag needs an argument: --${name}`);
    this.#set(name, flag, text);
  }

  #help(text: string): void {
    if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) throw new HelpRequest(false);
    if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return;
    const quoted = JSON.stringify(text);
    throw new FlagError(`invalid argument ${quoted} for "--help" flag: strconv.ParseBool: parsing ${quoted}: invalid syntax`);
  }

  #shorts(arg: string, rest: string[]): void {
    let letters = arg.slice(1);
    while (letters !== "") {
      const letter = letters.charAt(0);
      const name = this.#short.get(letter);
      const flag = name === undefined ? undefined : this.#table[name];
      if (name === undefined || flag === undefined) {
        if (letter === "h") throw new HelpRequest(true);
        throw new FlagError(`unknown shorthand flag: '${letter}' in -${letters}`);
      }
      const hasEquals = letters.charAt(1) === "=" && letters.length > 2;
      if (flag.kind.bare !== undefined && !hasEquals) {
        this.#set(name, flag, flag.kind.bare);
        letters = letters.slice(1);
        continue;
      }
      const text = hasEquals ? letters.slice(2) : letters.length > 1 ? letters.slice(1) : rest.shift();
      if (text === undefined) throw new FlagError(`flag needs an argument: '${letter}' in -${letters}`);
      this.#set(name, flag, text);
      return;
    }
  }

  #set(name: string, flag: Flag, text: string): void {
    const key = flag.alias ?? name;
    try {
      this.#values[key] = flag.kind.parse(text, this.#values[key] ?? flag.kind.initial);
    } catch (error) {
      if (error instanceof HelpRequest) throw error;
      const shown = flag.short === undefined ? `--${name}` : `-${flag.short}, --${name}`;
      throw new FlagError(`invalid argument ${goQuote(text)} for ${goQuote(shown)} flag: ${(error as Error).message}`);
    }
    this.#changed.add(key);
    if (flag.deprecated !== undefined) this.#notes.push(`Flag --${name} has been deprecated, ${flag.deprecated}`);
  }
}

/** Go's %q for text. */
export function goQuote(text: string): string {
  return JSON.stringify(text);
}
