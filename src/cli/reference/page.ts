import type { Command } from "../command.ts";
import type { Flag } from "../flag-kinds.ts";
import type { FlagTable } from "../flags.ts";
import { GLOBAL_FLAGS } from "../global-flags.ts";
import { COMMANDS, GROUPS, type Group } from "../registry.ts";

/** A flag as a reference page shows it. */
export interface FlagEntry {
  /** `-f, --format string` */
  readonly usage: string;
  readonly help: string;
  readonly isOwn: boolean;
}

/** What a page says of a command; a group has `commands`. */
export interface Page {
  /** `container ls`; empty for the program itself. */
  readonly path: string;
  /** `[OPTIONS] CONTAINER`; several forms in several lines. */
  readonly use: readonly string[];
  readonly short: string;
  readonly long: string;
  readonly aliases: readonly string[];
  readonly flags: readonly FlagEntry[];
  readonly commands: readonly (readonly [string, string])[];
}

function flagEntries(table: FlagTable): FlagEntry[] {
  return Object.entries(table as Readonly<Record<string, Flag>>)
    .filter(([, flag]) => !flag.isHidden && flag.alias === undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => {
      const word = flag.word ?? flag.kind.word;
      const dashes = flag.short === undefined ? `--${name}` : `-${flag.short}, --${name}`;
      return { usage: word === undefined ? dashes : `${dashes} ${word}`, help: flag.help, isOwn: flag.isOwn ?? false };
    });
}

function commandPage(path: string, command: Command): Page {
  return {
    path,
    use: command.use.split("\n").map((form) => form.trim().replace(/^docker \w+ /, "")),
    short: command.short,
    long: command.long ?? command.short,
    aliases: (command.aliases ?? []).filter((alias) => alias !== path),
    flags: flagEntries(command.flags),
    commands: [],
  };
}

async function visible(commands: Group["commands"]): Promise<(readonly [string, Command])[]> {
  const loaded = await Promise.all(Object.entries(commands).map(async ([name, load]) => [name, await load()] as const));
  return loaded.filter(([, command]) => !command.isHidden).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A page for the program, for each group and for each command, in the order of their paths. */
export async function pages(): Promise<Page[]> {
  const top = await visible(COMMANDS);
  const groups = Object.entries(GROUPS).sort(([a], [b]) => (a < b ? -1 : 1));
  const shorts = (list: readonly (readonly [string, Command])[]) => list.map(([name, { short }]) => [name, short] as const);
  const all: Page[] = [
    {
      path: "",
      use: ["[OPTIONS] COMMAND [ARG...]"],
      short: "A Docker-compatible container engine",
      long: "dhow is the command line of the dhow engine, and of every other engine that speaks Docker's API. `dhow daemon` is the engine itself.",
      aliases: [],
      flags: flagEntries(GLOBAL_FLAGS),
      commands: [
        ...shorts(top),
        ["daemon", "Run the engine in the foreground"] as const,
        ...groups.map(([name, { short }]) => [name, short] as const),
      ].sort(([a], [b]) => (a < b ? -1 : 1)),
    },
    ...top.map(([name, command]) => commandPage(name, command)),
  ];
  for (const [name, group] of groups) {
    const commands = await visible(group.commands);
    all.push({ path: name, use: ["COMMAND"], short: group.short, long: group.short, aliases: [], flags: [], commands: shorts(commands) });
    all.push(...commands.map(([verb, command]) => commandPage(`${name} ${verb}`, command)));
  }
  return all.sort((a, b) => (a.path < b.path ? -1 : 1));
}
