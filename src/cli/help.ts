import type { Command } from "./command.ts";
import type { Flag } from "./flag-kinds.ts";
import type { FlagTable } from "./flags.ts";

const MIN_WIDTH = 24;
const SLOP = 5;

/** The first line's part of `text` that fits `width`, and the rest. */
function firstLine(width: number, text: string): readonly [string, string] {
  if (width + SLOP > Buffer.byteLength(text)) return [text, ""];
  const head = text.slice(0, width);
  const space = Math.max(head.lastIndexOf(" "), head.lastIndexOf("\t"), head.lastIndexOf("\n"));
  if (space <= 0) return [text, ""];
  const line = head.lastIndexOf("\n");
  if (line > 0 && line < space) return [text.slice(0, line), text.slice(line + 1)];
  return [text.slice(0, space), text.slice(space + 1)];
}

/** Breaks a flag's help into lines as pflag does. */
function wrap(column: number, columns: number, text: string): string {
  let indent = column;
  let width = columns - indent;
  let result = "";
  if (width < MIN_WIDTH) {
    indent = 16;
    width = columns - indent;
    result = `\n${" ".repeat(indent)}`;
  }
  const pad = `\n${" ".repeat(indent)}`;
  if (width < MIN_WIDTH) return text.replaceAll("\n", pad);
  width -= SLOP;
  let [line, rest] = firstLine(width, text);
  result += line.replaceAll("\n", pad);
  while (rest !== "") {
    [line, rest] = firstLine(width, rest);
    result += pad + line.replaceAll("\n", pad);
  }
  return result;
}

/** The table of flags in `--help`. */
export function flagUsages(table: FlagTable, columns: number, program = "docker"): string {
  const rows: { readonly left: string; readonly help: string }[] = [];
  for (const [name, flag] of Object.entries(table as Readonly<Record<string, Flag>>).sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (flag.isHidden || flag.alias !== undefined || (flag.isOwn && program === "docker")) continue;
    const word = flag.word ?? flag.kind.word;
    const dashes = flag.short === undefined ? `      --${name}` : `  -${flag.short}, --${name}`;
    rows.push({ left: word === undefined ? dashes : `${dashes} ${word}`, help: flag.help });
  }
  const widest = Math.max(0, ...rows.map(({ left }) => left.length)) + 1;
  return rows.map(({ left, help }) => `${left.padEnd(widest)}  ${wrap(widest + 2, columns, help)}\n`).join("");
}

/** The further lines of a command's use name the program again. */
function useOf(program: string, use: string): string {
  return use.replaceAll("\n\tdocker ", `\n\t${program} `);
}

/** A command's `--help`. */
export function commandHelp(program: string, path: string, command: Command, columns: number): string {
  const parts = [
    `Usage:  ${program} ${path}${command.use === "" ? "" : ` ${useOf(program, command.use)}`}\n\n${command.long ?? command.short}\n`,
  ];
  if (command.aliases !== undefined && command.aliases.length > 1) {
    parts.push(`\nAliases:\n  ${command.aliases.map((alias) => `${program} ${alias}`).join(", ")}\n`);
  }
  const flags = flagUsages(command.flags, columns, program);
  if (flags !== "") parts.push(`\nOptions:\n${flags}`);
  return parts.join("");
}

/** What a mistake in a command's use is followed by. */
export function usageHint(program: string, path: string, use: string, verb = "Run"): string {
  const whole = path === "" ? program : `${program} ${path}`;
  return `\n\nUsage:  ${whole}${use === "" ? "" : ` ${useOf(program, use)}`}\n\n${verb} '${whole} --help' for more information`;
}
