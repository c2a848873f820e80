import type { Explanation } from "../../../spec/engine/mod.ts";
import { command, minArgs } from "../../command.ts";
import type { Context } from "../../context.ts";
import { forEachArg } from "../../each.ts";
import { STRING } from "../../flag-kinds.ts";
import { inspectAll } from "../../inspect.ts";

function heading({ Name, Status, ExitCode }: Explanation): string {
  const code = Status === "exited" || Status === "dead" || Status === "restarting" ? ` (exit code ${ExitCode})` : "";
  return `${Name.slice(1)}: ${Status}${code}`;
}

function print(ctx: Context, explanation: Explanation): void {
  ctx.out(heading(explanation));
  for (const { Text, Evidence, Advice } of explanation.Findings) {
    ctx.out(`  ${Text}`);
    for (const line of Evidence) ctx.out(`    | ${line}`);
    if (Advice !== "") ctx.out(`    > ${Advice}`);
  }
}

export const why = command({
  use: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Explain why containers ended, did not start, or are not well",
  aliases: ["container why", "why"],
  isOwn: true,
  args: minArgs(1),
  flags: { format: { kind: STRING, short: "f", help: 'Format output using a custom template, or as "json"' } },
  run: (ctx, refs, { format }) => {
    if (format !== "") return inspectAll(ctx, refs, format, async (ref) => JSON.stringify(await ctx.api.containers.explain(ref)));
    return forEachArg(refs, async (ref) => print(ctx, await ctx.api.containers.explain(ref)));
  },
});
