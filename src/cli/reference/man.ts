import { VERSION } from "../../lib/mod.ts";
import type { FlagEntry, Page } from "./page.ts";

/** Text for roff: its own characters escaped, no line taken for a request. @see man(7) */
function roff(text: string): string {
  return text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll("'", "\\(aq")
    .split("\n")
    .map((line) => (/^[.']/.test(line) ? `\\&${line}` : line))
    .join("\n");
}

const bold = (text: string): string => `\\fB${roff(text)}\\fR`;

function flagText({ usage, help }: FlagEntry): string {
  return `.TP\n${bold(usage)}\n${help.split("\n").map(roff).join("\n.br\n")}\n`;
}

/** The name of a page's manual: `dhow-container-ls`. */
export function manName(path: string): string {
  return path === "" ? "dhow" : `dhow-${path.replaceAll(" ", "-")}`;
}

function seeAlso(page: Page): string[] {
  const parent = page.path.includes(" ") ? page.path.slice(0, page.path.lastIndexOf(" ")) : "";
  const children = page.commands
    .filter(([name]) => name !== "daemon")
    .map(([name]) => manName(page.path === "" ? name : `${page.path} ${name}`));
  return [...(page.path === "" ? [] : [manName(parent)]), ...children];
}

/** A page in section 1 of the manual. */
export function manPage(page: Page): string {
  const { path, use, short, long, aliases, flags, commands } = page;
  const name = manName(path);
  const call = path === "" ? "dhow" : `dhow ${path}`;
  return [
    `.TH "${name.toUpperCase()}" "1" "" "dhow ${VERSION}" "dhow"\n`,
    `.SH NAME\n${roff(name)} \\- ${roff(short)}\n`,
    `.SH SYNOPSIS\n${use.map((form) => `${bold(call)} ${roff(form)}`.trimEnd()).join("\n.br\n")}\n`,
    `.SH DESCRIPTION\n${long.split("\n").map(roff).join("\n.br\n")}\n`,
    ...(aliases.length > 0 ? [`.SH "OTHER NAMES"\n${aliases.map((alias) => bold(`dhow ${alias}`)).join(", ")}\n`] : []),
    ...(flags.length > 0 ? [`.SH OPTIONS\n${flags.map(flagText).join("")}`] : []),
    ...(commands.length > 0 ? [`.SH COMMANDS\n${commands.map(([verb, text]) => `.TP\n${bold(verb)}\n${roff(text)}\n`).join("")}`] : []),
    `.SH "SEE ALSO"\n${seeAlso(page)
      .map((other) => `${bold(other)}(1)`)
      .join(",\n")}\n`,
  ].join("");
}
