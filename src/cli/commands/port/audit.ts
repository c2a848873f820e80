import { Struct } from "../../../lib/mod.ts";
import type { AuditedPort, PortReach, PortRule } from "../../../spec/engine/mod.ts";
import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { joinHostPort } from "../../format/ports.ts";
import { formatRows } from "../../format/table.ts";
import { ellipsis } from "../../format/text.ts";

const HEADERS = { Container: "CONTAINER", Port: "PORT", ReachedBy: "REACHED BY", DecidedBy: "DECIDED BY" };
const TABLE = "table {{.Container}}\t{{.Port}}\t{{.ReachedBy}}\t{{.DecidedBy}}";
/** Between two columns. */
const GAP = 3;
/** Both of the long columns get at least so much of a line. */
const MIN_COLUMNS = 12;

function portText({ HostIp, HostPort, ContainerIp, ContainerPort, Protocol }: AuditedPort): string {
  const inside = `${ContainerPort}/${Protocol}`;
  return HostPort === 0 ? joinHostPort(ContainerIp, inside) : `${joinHostPort(HostIp, HostPort)}->${inside}`;
}

const of = (port: AuditedPort, from: PortReach["From"]): readonly PortReach[] => port.Reach.filter(({ From }) => From === from);
const isEverybody = ({ Sources }: PortReach): boolean => Sources[0] === "any";

/** Who gets through to a port, in a few words. */
export function reachedBy(port: AuditedPort): string {
  const outside = of(port, "outside");
  const containers = of(port, "containers");
  const parts = [...outsideParts(outside), ...containerParts(containers)];
  const isOpen = outside.length > 0 && outside.every((r) => isEverybody(r) && r.Verdict === "accept");
  if (isOpen && containers.every(({ Verdict }) => Verdict === "accept")) return "everybody";
  if (of(port, "host").some(({ Verdict }) => Verdict === "accept")) parts.push(parts.length > 0 ? "this host" : "this host only");
  return parts.length > 0 ? parts.join("; ") : "nobody";
}

function outsideParts(outside: readonly PortReach[]): string[] {
  const interfaces = new Set(outside.flatMap(({ By }) => By));
  return outside.flatMap(({ By, Sources, Verdict }) => {
    if (Verdict === "drop") return [];
    const by = By.length < interfaces.size ? ` by ${By.join(", ")}` : "";
    const dropped = outside.filter((r) => r.Verdict === "drop" && r.By.join() === By.join()).flatMap((r) => r.Sources);
    const who = Sources[0] === "any" ? "all outside" : Sources[0] === "any other" ? restText(dropped) : Sources.join(", ");
    return [`${Verdict === "unknown" ? "can't tell: " : ""}${who}${by}`];
  });
}

function restText(dropped: readonly string[]): string {
  return dropped.length > 0 ? `all outside but ${dropped.join(", ")}` : "all others outside";
}

function containerParts(containers: readonly PortReach[]): string[] {
  const open = containers.filter(({ Verdict }) => Verdict !== "drop");
  if (open.length === 0) return [];
  const isAll = open.length === containers.length && open.every((r) => isEverybody(r) && r.Verdict === "accept");
  if (isAll) return ["containers"];
  return open.map(({ By, Sources, Verdict }) => {
    const who = Sources[0] === "any" ? `containers of ${By.join(", ")}` : `${Sources.join(", ")} of ${By.join(", ")}`;
    return Verdict === "unknown" ? `can't tell: ${who}` : who;
  });
}

/** The rule that says what becomes of most clients. */
export function decidedBy(port: AuditedPort): string {
  const outside = of(port, "outside");
  const reach = outside.find(({ Verdict }) => Verdict === "unknown") ?? outside.at(-1);
  if (reach === undefined) return "";
  if (reach.Rule === null) return reach.Verdict === "drop" ? "the loopback is this host's own" : "";
  return ruleText(reach.Rule);
}

function ruleText({ Table, Chain, Handle, Text }: PortRule): string {
  const place = [Table, Chain, Handle === 0 ? "" : `#${Handle}`].filter((part) => part !== "").join(" ");
  return `${place}: ${Text}`;
}

interface Row {
  readonly port: AuditedPort;
  readonly reached: string;
  readonly decided: string;
}

function portRow({ port, reached, decided }: Row): Struct {
  return new Struct(
    "*formatter.portAuditContext",
    {
      Container: () => port.Name,
      Port: () => portText(port),
      ReachedBy: () => reached,
      DecidedBy: () => decided,
      Network: () => port.Network,
      ID: () => port.Container,
      Reach: () => port.Reach,
    },
    {},
  );
}

export const portAudit = command({
  use: "[OPTIONS]",
  short: "List published ports, who can reach them, and which rule decides",
  args: NO_ARGS,
  isOwn: true,
  flags: {
    format: { kind: STRING, help: FORMAT_HELP },
    "no-trunc": { kind: BOOLEAN, help: "Don't truncate output" },
  },
  run: async (ctx, _args, flags) => {
    const { Ports, Warnings } = await ctx.api.ports.audit();
    if (flags.format === "json") {
      for (const port of Ports) ctx.out(JSON.stringify(port));
    } else {
      const isTable = flags.format === "" || flags.format === "table";
      const columns = isTable && !flags["no-trunc"] ? ctx.stdout.size?.columns : undefined;
      const rows = Ports.map((port) => ({ port, reached: reachedBy(port), decided: decidedBy(port) }));
      const shown = columns === undefined ? rows : fitted(rows, columns);
      ctx.stdout.write(formatRows({ format: isTable ? TABLE : flags.format, headers: HEADERS, rows: shown.map(portRow) }));
    }
    for (const warning of Warnings) ctx.warn(`WARNING: ${warning}`);
  },
});

/** The rows of a table of so many columns: who reaches a port, and what decides, share what the names leave. */
function fitted(rows: readonly Row[], columns: number): Row[] {
  const widest = (texts: readonly string[]): number => Math.max(...texts.map((text) => text.length)) + GAP;
  const names = widest([HEADERS.Container, ...rows.map(({ port }) => port.Name)]);
  const places = widest([HEADERS.Port, ...rows.map(({ port }) => portText(port))]);
  const room = Math.max(2 * MIN_COLUMNS, columns - names - places);
  const reached = Math.min(
    Math.max(MIN_COLUMNS, Math.ceil(room / 2)),
    widest([HEADERS.ReachedBy, ...rows.map((row) => row.reached)]) - GAP,
  );
  const decided = Math.max(MIN_COLUMNS, room - reached - GAP);
  return rows.map((row) => ({ ...row, reached: ellipsis(row.reached, reached), decided: ellipsis(row.decided, decided) }));
}
