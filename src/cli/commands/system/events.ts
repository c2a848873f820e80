import { formatTime, template, withHidden } from "../../../lib/mod.ts";
import type { PreciseEvent } from "../../../sdk/mod.ts";
import { command, ExitError, NO_ARGS } from "../../command.ts";
import { FILTER, STRING } from "../../flag-kinds.ts";
import { INSPECT_FORMAT_HELP } from "../../format/help-text.ts";
import { zoneOffset } from "../../format/text.ts";
import { parseTimestamp } from "../../timestamp.ts";

const NS_PER_S = 1_000_000_000n;

/** RFC 3339 with nine digits, in the local time zone. */
function timeText(ns: bigint): string {
  const date = new Date(Number(ns / 1_000_000n));
  const offsetMinutes = -date.getTimezoneOffset();
  const local = formatTime((ns / NS_PER_S) * NS_PER_S + BigInt(offsetMinutes) * 60n * NS_PER_S).slice(0, 19);
  return `${local}.${(ns % NS_PER_S).toString().padStart(9, "0")}${offsetMinutes === 0 ? "Z" : zoneOffset(date)}`;
}

function line(event: PreciseEvent): string {
  const ns = BigInt(event.timeNanoText ?? BigInt(event.time ?? 0) * NS_PER_S);
  const attributes = Object.entries(event.Actor?.Attributes ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  const tail = attributes.length > 0 ? ` (${attributes.join(", ")})` : "";
  return `${timeText(ns)} ${event.Type} ${event.Action} ${event.Actor?.ID}${tail}`;
}

/** The event as JSON, with the time to the nanosecond. */
function jsonLine({ timeNanoText, ...event }: PreciseEvent): string {
  const text = JSON.stringify(event);
  return timeNanoText === undefined ? text : text.replace(/"timeNano":[\d.e+]+/, `"timeNano":${timeNanoText}`);
}

/** The event as templates see it: under the names of Docker's type, too. */
function templateValue({ timeNanoText, ...event }: PreciseEvent): object {
  const timeNano = timeNanoText === undefined ? event.timeNano : BigInt(timeNanoText);
  const { id = "", from = "", status = "" } = event as Readonly<Record<string, unknown>>;
  return withHidden(
    { ...event, timeNano },
    { Scope: event.scope, Time: event.time, TimeNano: timeNano, ID: id, From: from, Status: status },
  );
}

/** Fields whose keys are no part of Docker's type. */
const MAPS = new Set(["Attributes"]);

function formatter(format: string): (event: PreciseEvent) => string {
  if (format === "") return line;
  if (format === "json") return jsonLine;
  try {
    const compiled = template(format.replaceAll("\\t", "\t").replaceAll("\\n", "\n"), { isMissingKeyError: true, maps: MAPS });
    return (event) => compiled(templateValue(event));
  } catch (error) {
    throw new ExitError(64, `Error parsing format: ${(error as Error).message}`);
  }
}

export const events = command({
  use: "[OPTIONS]",
  short: "Get real time events from the server",
  aliases: ["system events", "events"],
  args: NO_ARGS,
  flags: {
    filter: { kind: FILTER, short: "f", help: "Filter output based on conditions provided" },
    format: { kind: STRING, help: INSPECT_FORMAT_HELP },
    since: { kind: STRING, help: "Show all events created since timestamp" },
    until: { kind: STRING, help: "Stream events until this timestamp" },
  },
  run: async (ctx, _args, flags) => {
    const show = formatter(flags.format);
    const stream = ctx.api.system.events({
      sinceNs: flags.since === "" ? undefined : parseTimestamp(flags.since),
      untilNs: flags.until === "" ? undefined : parseTimestamp(flags.until),
      filters: flags.filter,
    });
    for await (const event of stream) {
      try {
        ctx.out(show(event));
      } catch (error) {
        throw new ExitError(1, `Error parsing format: ${(error as Error).message}`);
      }
    }
  },
});
