import type { CheckReport, CheckResult } from "../../../spec/engine/mod.ts";
import { command, NO_ARGS } from "../../command.ts";
import type { Context } from "../../context.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { formatOne } from "../../format/table.ts";

const STATUS_WIDTH = "damaged".length + 2;

/** How many of a check's problems there are; those that are mended don't count among the others. */
function count({ Status, Problems }: CheckResult): string {
  const number = Problems.filter((problem) => problem.Status === Status).length;
  return Status === "ok" ? "" : ` (${number})`;
}

function print(ctx: Context, { Checks, Found, Fixed, Left }: CheckReport): void {
  for (const check of Checks) {
    ctx.out(`${check.Status.padEnd(STATUS_WIDTH)}${check.Text}${count(check)}`);
    for (const { What, Status, Error: failure } of check.Problems) {
      ctx.out(`  | ${Status === check.Status ? "" : `${Status}: `}${What}${failure === "" ? "" : `: ${failure}`}`);
    }
    for (const advice of new Set(check.Problems.map(({ Advice }) => Advice))) if (advice !== "") ctx.out(`  > ${advice}`);
  }
  ctx.out(`\n${Checks.length} checks: ${Found === 0 ? "all is well" : `${Found} found, ${Fixed} fixed, ${Left} left`}`);
}

export const systemCheck = command({
  use: "[OPTIONS]",
  short: "Look for damage and leftovers, and repair them",
  isOwn: true,
  args: NO_ARGS,
  flags: {
    deep: { kind: BOOLEAN, help: "Read every file of every layer, and every log" },
    format: { kind: STRING, short: "f", help: 'Format output using a custom template, or as "json"' },
    repair: { kind: BOOLEAN, help: "Put right what can be" },
  },
  run: async (ctx, _args, { deep, format, repair }) => {
    const report = await ctx.api.system.check({ deep, repair });
    if (format === "json") ctx.out(JSON.stringify(report));
    else if (format !== "") ctx.out(formatOne(format, report));
    else print(ctx, report);
    return report.Left === 0 ? 0 : 1;
  },
});
