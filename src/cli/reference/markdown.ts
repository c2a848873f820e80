import { manName } from "./man.ts";
import type { FlagEntry, Page } from "./page.ts";

/** Text in a cell of a table. */
function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;").replaceAll("\n", "<br>");
}

function flagRow({ usage, help, isOwn }: FlagEntry): string {
  return `| \`${usage.replaceAll("|", "\\|")}\` | ${cell(help)}${isOwn ? " (dhow's own)" : ""} |\n`;
}

/** A page of the reference, with links to the others beside it. */
export function markdownPage({ path, use, long, aliases, flags, commands }: Page): string {
  const call = path === "" ? "dhow" : `dhow ${path}`;
  const link = (verb: string): string =>
    verb === "daemon" && path === "" ? "`daemon`" : `[\`${verb}\`](${manName(path === "" ? verb : `${path} ${verb}`)}.md)`;
  return [
    `# ${call}\n\n${long.replaceAll("<", "&lt;")}\n\n`,
    `\`\`\`text\n${use.map((form) => `${call} ${form}`.trimEnd()).join("\n")}\n\`\`\`\n`,
    ...(aliases.length > 0 ? [`\nAlso: ${aliases.map((alias) => `\`dhow ${alias}\``).join(", ")}\n`] : []),
    ...(flags.length > 0 ? [`\n| option | |\n| --- | --- |\n${flags.map(flagRow).join("")}`] : []),
    ...(commands.length > 0
      ? [`\n| command | |\n| --- | --- |\n${commands.map(([verb, text]) => `| ${link(verb)} | ${cell(text)} |\n`).join("")}`]
      : []),
  ].join("");
}
