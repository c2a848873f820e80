import { command, exactArgs } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { parseTimestamp } from "../../timestamp.ts";

function time(text: string, flag: string): bigint {
  if (text === "") return 0n;
  try {
    return parseTimestamp(text);
  } catch (error) {
    throw new Error(`invalid value for "${flag}": ${(error as Error).message}`);
  }
}

export const logs = command({
  use: "[OPTIONS] CONTAINER",
  short: "Fetch the logs of a container",
  aliases: ["container logs", "logs"],
  args: exactArgs(1),
  flags: {
    clear: { kind: BOOLEAN, help: "Forget what was written until now instead of showing it (not in docker)" },
    details: { kind: BOOLEAN, help: "Show extra details provided to logs" },
    follow: { kind: BOOLEAN, short: "f", help: "Follow log output" },
    since: { kind: STRING, help: 'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)' },
    tail: { kind: STRING, short: "n", initial: "all", help: 'Number of lines to show from the end of the logs (default "all")' },
    timestamps: { kind: BOOLEAN, short: "t", help: "Show timestamps" },
    until: { kind: STRING, help: 'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)' },
  },
  run: async (ctx, [ref = ""], flags) => {
    if (flags.clear) {
      await ctx.api.clearLogs(ref);
      return;
    }
    const { Id = ref, Config } = await ctx.api.containers.inspect(ref, { size: false });
    const tail = flags.tail === "all" || !/^\d+$/.test(flags.tail) ? -1 : Number(flags.tail);
    const session = await ctx.api.logs(Id, {
      follow: flags.follow,
      stdout: true,
      stderr: true,
      timestamps: flags.timestamps,
      details: flags.details,
      sinceNs: time(flags.since, "since"),
      untilNs: time(flags.until, "until"),
      tail,
      tty: Config?.Tty === true,
    });
    for await (const { stream, data } of session.output) await (stream === "stdout" ? ctx.stdout : ctx.stderr).writeSoon(data);
  },
});
