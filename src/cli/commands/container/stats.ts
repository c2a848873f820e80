import { bytesSize, humanSize, Struct } from "../../../lib/mod.ts";
import type { ContainerStatsResponse } from "../../../spec/engine/mod.ts";
import { ANY_ARGS, command, ExitError } from "../../command.ts";
import type { Context } from "../../context.ts";
import { errorText } from "../../error-text.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { formatRows } from "../../format/table.ts";
import { truncateId } from "../../format/text.ts";
import { orSetting } from "../../settings.ts";

const TABLE = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
const HEADERS = {
  Container: "CONTAINER",
  ID: "CONTAINER ID",
  Name: "NAME",
  CPUPerc: "CPU %",
  MemUsage: "MEM USAGE / LIMIT",
  MemPerc: "MEM %",
  NetIO: "NET I/O",
  BlockIO: "BLOCK I/O",
  PIDs: "PIDS",
};
const REFRESH_MS = 500;
const SIZE_DIGITS = 3;

interface BlkioEntry {
  readonly op?: string;
  readonly value?: number;
}

interface NetworkEntry {
  readonly rx_bytes?: number;
  readonly tx_bytes?: number;
}

/** What one container's stream last said. */
interface Entry {
  readonly ref: string;
  sample: ContainerStatsResponse | undefined;
  error: unknown;
}

function cpuPercent({ cpu_stats: now, precpu_stats: before }: ContainerStatsResponse): number {
  const total = (now?.cpu_usage?.total_usage ?? 0) - (before?.cpu_usage?.total_usage ?? 0);
  const system = (now?.system_cpu_usage ?? 0) - (before?.system_cpu_usage ?? 0);
  const cpus = now?.online_cpus || now?.cpu_usage?.percpu_usage?.length || 0;
  return system > 0 && total > 0 ? (total / system) * cpus * 100 : 0;
}

function memoryUsage({ memory_stats: memory }: ContainerStatsResponse): number {
  const usage = memory?.usage ?? 0;
  const stats = (memory?.stats ?? {}) as Readonly<Record<string, number>>;
  const cache = stats["total_inactive_file"] ?? stats["inactive_file"] ?? 0;
  return cache < usage ? usage - cache : usage;
}

function blockIo({ blkio_stats: blkio }: ContainerStatsResponse): readonly [number, number] {
  let [read, written] = [0, 0];
  for (const { op = "", value = 0 } of (blkio?.io_service_bytes_recursive ?? []) as readonly BlkioEntry[]) {
    if (/^r/i.test(op)) read += value;
    else if (/^w/i.test(op)) written += value;
  }
  return [read, written];
}

function networkIo({ networks }: ContainerStatsResponse): readonly [number, number] {
  let [received, sent] = [0, 0];
  for (const { rx_bytes = 0, tx_bytes = 0 } of Object.values((networks ?? {}) as Readonly<Record<string, NetworkEntry>>)) {
    received += rx_bytes;
    sent += tx_bytes;
  }
  return [received, sent];
}

function pair([a, b]: readonly [number, number]): string {
  return `${humanSize(a, SIZE_DIGITS)} / ${humanSize(b, SIZE_DIGITS)}`;
}

function row({ ref, sample, error }: Entry, doesTruncate: boolean): Struct {
  const isKnown = sample !== undefined && error === undefined;
  const value =
    (text: (from: ContainerStatsResponse) => string, missing = "--") =>
    () =>
      isKnown ? text(sample) : missing;
  const limit = sample?.memory_stats?.limit ?? 0;
  const percent = sample === undefined || limit === 0 ? 0 : (memoryUsage(sample) / limit) * 100;
  return new Struct("*container.statsContext", {
    Container: () => ref,
    ID: value(({ id }) => (doesTruncate ? truncateId(id ?? "") : (id ?? ""))),
    Name: value(({ name }) => name?.replace(/^\//, "") || "--"),
    CPUPerc: value((from) => `${cpuPercent(from).toFixed(2)}%`),
    MemUsage: value((from) => `${bytesSize(memoryUsage(from))} / ${bytesSize(limit)}`, "-- / --"),
    MemPerc: value(() => `${percent.toFixed(2)}%`),
    NetIO: value((from) => pair(networkIo(from))),
    BlockIO: value((from) => pair(blockIo(from))),
    PIDs: value(({ pids_stats }) => String(pids_stats?.current ?? 0)),
  });
}

async function follow(ctx: Context, entry: Entry, isOnce: boolean, signal: AbortSignal): Promise<void> {
  try {
    const samples = await ctx.api.streams.stats(entry.ref, { stream: !isOnce, oneShot: false, signal });
    for await (const sample of samples) entry.sample = sample;
  } catch (error) {
    entry.error = error;
  }
}

interface ShowOptions {
  readonly format: string;
  readonly doesTruncate: boolean;
}

function render(entries: readonly Entry[], { format, doesTruncate }: ShowOptions): string {
  const isDefault = format === "" || format === "table";
  return formatRows({ format: isDefault ? TABLE : format, headers: HEADERS, rows: entries.map((entry) => row(entry, doesTruncate)) });
}

/** Containers that come and go while all are shown. */
async function listRefs(ctx: Context, all: boolean): Promise<readonly string[]> {
  const list = await ctx.api.containers.list({ all, limit: 0, size: false, filters: {} });
  return list.map(({ Id = "" }) => truncateId(Id));
}

async function showForever(ctx: Context, given: readonly string[], all: boolean, options: ShowOptions): Promise<void> {
  const entries = new Map<string, Entry>();
  const stop = new AbortController();
  const add = (ref: string) => {
    const entry: Entry = { ref, sample: undefined, error: undefined };
    entries.set(ref, entry);
    follow(ctx, entry, false, stop.signal).catch(() => {});
  };
  try {
    for (;;) {
      const refs = given.length > 0 ? given : await listRefs(ctx, all);
      for (const ref of refs) if (!entries.has(ref)) add(ref);
      if (given.length === 0) for (const ref of entries.keys()) if (!refs.includes(ref)) entries.delete(ref);
      await Bun.sleep(REFRESH_MS);
      const failed = [...entries.values()].filter(({ error, sample }) => error !== undefined && sample === undefined);
      if (given.length > 0 && failed.length > 0) throw new ExitError(1, failed.map(({ error }) => errorText(error)).join("\n"));
      const text = render([...entries.values()], options);
      ctx.stdout.write(ctx.stdout.isTerminal ? `\x1b[H${text.replaceAll("\n", "\x1b[K\n")}\x1b[J` : text);
    }
  } finally {
    stop.abort();
  }
}

export const stats = command({
  use: "[OPTIONS] [CONTAINER...]",
  short: "Display a live stream of container(s) resource usage statistics",
  aliases: ["container stats", "stats"],
  args: ANY_ARGS,
  flags: {
    all: { kind: BOOLEAN, short: "a", help: "Show all containers (default shows just running)" },
    format: { kind: STRING, help: FORMAT_HELP },
    "no-stream": { kind: BOOLEAN, help: "Disable streaming stats and only pull the first result" },
    "no-trunc": { kind: BOOLEAN, help: "Do not truncate output" },
  },
  run: async (ctx, args, flags) => {
    const options = { format: orSetting(ctx, "statsFormat", flags.format), doesTruncate: !flags["no-trunc"] };
    if (!flags["no-stream"]) return showForever(ctx, args, flags.all, options);
    const refs = args.length > 0 ? args : await listRefs(ctx, flags.all);
    const entries = refs.map((ref): Entry => ({ ref, sample: undefined, error: undefined }));
    const signal = new AbortController().signal;
    await Promise.all(entries.map((entry) => follow(ctx, entry, true, signal)));
    const failed = args.length > 0 ? entries.filter(({ error }) => error !== undefined) : [];
    if (failed.length > 0) throw new ExitError(1, failed.map(({ error }) => errorText(error)).join("\n"));
    ctx.stdout.write(render(entries, options));
  },
});
