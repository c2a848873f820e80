import { GLOBAL_FLAGS } from "./global-flags.ts";
import { flagUsages } from "./help.ts";
import { COMMANDS, COMMON_COMMANDS, GROUPS, type Group } from "./registry.ts";

type Row = readonly [string, string];

function table(rows: readonly Row[], width: number): string {
  return rows.map(([name, short]) => `  ${name.padEnd(width)} ${short}\n`).join("");
}

async function commandRows(commands: Group["commands"], program: string): Promise<Row[]> {
  const loaded = await Promise.all(Object.entries(commands).map(async ([name, load]) => ({ name, command: await load() })));
  return loaded
    .filter(({ command }) => !command.isHidden && !(command.isOwn && program === "docker"))
    .map(({ name, command }) => [name, command.short]);
}

/** What `dhow` alone prints. */
export async function overview(program: string, columns: number): Promise<string> {
  const rows = await commandRows(COMMANDS, program);
  const common = COMMON_COMMANDS.flatMap((name) => rows.filter((row) => row[0] === name));
  const rest = rows.filter(([name]) => !COMMON_COMMANDS.includes(name));
  if (program !== "docker") rest.push(["daemon", "Run the engine in the foreground"]);
  rest.sort(([a], [b]) => (a < b ? -1 : 1));
  const groups = Object.entries(GROUPS)
    .filter(([, { isOwn }]) => !isOwn || program !== "docker")
    .map(([name, { short }]): Row => [name, short]);
  const width = 11;
  return [
    `Usage:  ${program} [OPTIONS] COMMAND\n\nA self-sufficient runtime for containers\n`,
    `\nCommon Commands:\n${table(common, width)}`,
    `\nManagement Commands:\n${table(groups, width)}`,
    `\nCommands:\n${table(rest, width)}`,
    `\nGlobal Options:\n${flagUsages(GLOBAL_FLAGS, columns)}`,
    `\nRun '${program} COMMAND --help' for more information on a command.\n`,
  ].join("");
}

/** What `dhow container` alone prints. */
export async function groupHelp(program: string, name: string): Promise<string> {
  const group = GROUPS[name];
  if (group === undefined) return "";
  const rows = await commandRows(group.commands, program);
  rows.sort(([a], [b]) => (a < b ? -1 : 1));
  const width = 11;
  return `Usage:  ${program} ${name} COMMAND\n\n${group.short}\n\nCommands:\n${table(rows, width)}\nRun '${program} ${name} COMMAND --help' for more information on a command.\n`;
}
