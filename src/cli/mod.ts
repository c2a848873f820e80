/** The command line: finds the command, reads its flags, runs it, and turns what it throws into text and an exit code. */
import type { EngineClient } from "../sdk/mod.ts";
import { type Command, ExitError } from "./command.ts";
import { connect } from "./connect.ts";
import type { Context } from "./context.ts";
import type { EndpointSource } from "./contexts/endpoint.ts";
import { errorText } from "./error-text.ts";
import { FlagError, HelpRequest, type ParsedFlags, parseFlags } from "./flags.ts";
import { GLOBAL_FLAGS } from "./global-flags.ts";
import { commandHelp, usageHint } from "./help.ts";
import { COMMANDS, GROUP_ALIASES, GROUPS, SUBCOMMANDS } from "./registry.ts";
import { isTerminal } from "./terminal/is-terminal.ts";
import { Output } from "./terminal/output.ts";

const EXIT_USAGE = 125;
const DEFAULT_COLUMNS = 80;

interface Program {
  readonly name: string;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What the words before the flags name. */
type Found =
  | { readonly kind: "command"; readonly path: string; readonly command: Command; readonly rest: readonly string[] }
  | { readonly kind: "group"; readonly path: string; readonly rest: readonly string[] }
  | { readonly kind: "unknown"; readonly path: string; readonly parent: string };

async function find(words: readonly string[], program: string): Promise<Found> {
  const [first = "", second] = words;
  if (Object.hasOwn(GROUPS, first)) {
    const group = GROUPS[first];
    if (second === undefined || second.startsWith("-")) return { kind: "group", path: first, rest: words.slice(1) };
    const verb = GROUP_ALIASES[first]?.[second] ?? second;
    const load = group !== undefined && Object.hasOwn(group.commands, verb) ? group.commands[verb] : undefined;
    if (load === undefined) return { kind: "unknown", path: `${first} ${second}`, parent: first };
    return { kind: "command", path: `${first} ${verb}`, command: await load(), rest: words.slice(2) };
  }
  const own = `${first} ${second ?? ""}`;
  const loadOwn = program !== "docker" && Object.hasOwn(SUBCOMMANDS, own) ? SUBCOMMANDS[own] : undefined;
  if (loadOwn !== undefined) return { kind: "command", path: own, command: await loadOwn(), rest: words.slice(2) };
  const load = Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  if (load === undefined) return { kind: "unknown", path: first, parent: "" };
  return { kind: "command", path: first, command: await load(), rest: words.slice(1) };
}

function columns(): number {
  return (isTerminal(0) && process.stdout.columns > 0 ? process.stdout.columns : DEFAULT_COLUMNS) - 1;
}

function argsMistake(args: readonly string[], { min, max }: Command["args"]): readonly [string, string] | undefined {
  const words = (n: number) => `${n} argument${n === 1 ? "" : "s"}`;
  const n = args.length;
  if (n >= min && n <= max) return undefined;
  if (max === 0) return ["accepts no arguments", "Run"];
  if (min === max) return [`requires ${words(min)}`, "Run"];
  if (max === Number.POSITIVE_INFINITY) return [`requires at least ${words(min)}`, "See"];
  if (min === 0) return [`requires at most ${words(max)}`, "Run"];
  return [`requires at least ${min} and at most ${words(max)}`, "Run"];
}

class Invocation {
  readonly #program: Program;

  constructor(program: Program) {
    this.#program = program;
  }

  /** Reads flags, or says what is wrong with them. Returns an exit code when there is nothing more to do. */
  async #flags(path: string, use: string, read: () => ParsedFlags, help: () => Promise<string>): Promise<ParsedFlags | number> {
    const { name, stdout, stderr } = this.#program;
    try {
      const parsed = read();
      for (const note of parsed.notes) stdout.write(`${note}\n`);
      return parsed;
    } catch (error) {
      if (error instanceof HelpRequest) {
        if (error.isShorthand) stdout.write("Flag shorthand -h has been deprecated, use --help\n");
        stdout.write(await help());
        return 0;
      }
      if (!(error instanceof FlagError)) throw error;
      stderr.write(`${error.message}${usageHint(name, path, use)}\n`);
      return EXIT_USAGE;
    }
  }

  async run(argv: readonly string[]): Promise<number> {
    const { name, stdout, stderr } = this.#program;
    const help = async () => (await import("./overview.ts")).overview(name, columns());
    const global = await this.#flags("", "[OPTIONS] COMMAND [ARG...]", () => parseFlags(GLOBAL_FLAGS, argv, false), help);
    if (typeof global === "number") return global;
    if (global.values["version"] === true) {
      stdout.write((await import("./commands/system/version.ts")).versionLine(name));
      return 0;
    }
    const mistake = globalMistake(global);
    if (mistake !== undefined) {
      stderr.write(`${mistake}\n`);
      return 1;
    }
    const [first] = global.args;
    if (first === undefined) {
      stdout.write(await help());
      return 0;
    }
    if (first === "help") return this.#help(global.args.slice(1), help);
    const found = await find(global.args, name);
    if (found.kind === "command") return this.#command(found, global);
    if (found.kind === "unknown") return this.#unknown(found);
    const text = async () => (await import("./overview.ts")).groupHelp(name, found.path);
    const flags = await this.#flags(found.path, "", () => parseFlags({}, found.rest), text);
    if (typeof flags === "number") return flags;
    stderr.write(await text());
    return 0;
  }

  #unknown({ path, parent }: { readonly path: string; readonly parent: string }): number {
    const { name, stderr } = this.#program;
    const hint = parent === "" ? `\n\nRun '${name} --help' for more information` : usageHint(name, parent, "");
    stderr.write(`${name}: unknown command: ${name} ${path}${hint}\n`);
    return 1;
  }

  async #help(words: readonly string[], overview: () => Promise<string>): Promise<number> {
    const { name, stdout, stderr } = this.#program;
    if (words.length === 0) {
      stdout.write(await overview());
      return 0;
    }
    const found = await find(words, name);
    if (found.kind === "unknown") {
      stderr.write(`unknown help topic: ${words.join(" ")}\n`);
      return 1;
    }
    if (found.kind === "group") stdout.write(await (await import("./overview.ts")).groupHelp(name, found.path));
    else stdout.write(commandHelp(name, found.path, found.command, columns()));
    return 0;
  }

  async #command({ path, command, rest }: Found & { readonly kind: "command" }, global: ParsedFlags): Promise<number> {
    const { name, stderr } = this.#program;
    const help = async () => commandHelp(name, path, command, columns());
    const flags = await this.#flags(
      path,
      command.use,
      () => parseFlags(command.flags, command.hasRawArgs ? ["--", ...rest] : rest, command.isInterspersed ?? true),
      help,
    );
    if (typeof flags === "number") return flags;
    const mistake = argsMistake(flags.args, command.args);
    if (mistake !== undefined) {
      stderr.write(`${name}: '${name} ${path}' ${mistake[0]}${usageHint(name, path, command.use, mistake[1])}\n`);
      return 1;
    }
    const ctx = new CommandContext(this.#program, path, global);
    try {
      return (await command.run(ctx, flags.args, flags.values as never, flags.changed)) ?? 0;
    } catch (error) {
      if (error instanceof ExitError) {
        if (error.message !== "") stderr.write(`${error.message}\n`);
        return error.code;
      }
      if (global.values["debug"] === true && error instanceof Error) stderr.write(`${error.stack}\n`);
      stderr.write(`${errorText(error)}\n`);
      return 1;
    } finally {
      ctx.close();
    }
  }
}

function globalMistake({ values, changed }: ParsedFlags): string | undefined {
  const level = values["log-level"];
  if (changed.has("log-level") && !["trace", "debug", "info", "warn", "warning", "error", "fatal", "panic"].includes(String(level))) {
    return `Unable to parse logging level: ${level}`;
  }
  if (changed.has("host") && changed.has("context")) return "conflicting options: cannot specify both --host and --context";
  if ((values["host"] as readonly string[]).length > 1)
    return "Failed to initialize: unable to resolve docker endpoint: Specify only one -H";
  return undefined;
}

class CommandContext implements Context {
  readonly name: string;
  readonly path: string;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly isDebug: boolean;
  readonly #global: ParsedFlags;
  readonly #warned = new Set<string>();
  #api: EngineClient | undefined;

  constructor(program: Program, path: string, global: ParsedFlags) {
    this.name = program.name;
    this.stdout = program.stdout;
    this.stderr = program.stderr;
    this.env = program.env;
    this.path = path;
    this.#global = global;
    this.isDebug = global.values["debug"] === true;
  }

  get configDir(): string {
    return String(this.#global.values["config"] || this.env["DOCKER_CONFIG"] || `${this.env["HOME"] || "/root"}/.docker`);
  }

  get endpointSource(): EndpointSource {
    const warn = (line: string): void => {
      if (!this.#warned.has(line)) this.warn(line);
      this.#warned.add(line);
    };
    return { flags: this.#global.values, changed: this.#global.changed, env: this.env, configDir: this.configDir, warn };
  }

  get api(): EngineClient {
    if (this.#api !== undefined) return this.#api;
    try {
      this.#api = connect(this.endpointSource, (line) => this.warn(line));
    } catch (error) {
      throw new ExitError(1, `Failed to initialize: unable to resolve docker endpoint: ${errorText(error)}`);
    }
    return this.#api;
  }

  close(): void {
    this.#api?.close();
  }

  out(line: string): void {
    this.stdout.write(`${line}\n`);
  }

  warn(line: string): void {
    this.stderr.write(`${line}\n`);
  }
}

/** Runs one command of the CLI; `name` is what it was called by. @returns the exit code */
export function runCli(argv: readonly string[], name = "dhow"): Promise<number> {
  const program = { name: name === "docker" ? "docker" : "dhow", stdout: new Output(1), stderr: new Output(2), env: process.env };
  return new Invocation(program).run(argv);
}
