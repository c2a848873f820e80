import { humanSize, Struct, shortId } from "../../../lib/mod.ts";
import type { DiskUsage } from "../../../spec/engine/mod.ts";
import { command, NO_ARGS } from "../../command.ts";
import { BOOLEAN, STRING } from "../../flag-kinds.ts";
import { CONTAINER_HEADERS, containerRow } from "../../format/container-row.ts";
import { FORMAT_HELP } from "../../format/help-text.ts";
import { IMAGE_HEADERS, imageRows } from "../../format/image-row.ts";
import { formatOne, formatRows } from "../../format/table.ts";
import { VOLUME_HEADERS, volumeRow } from "../../format/volume-row.ts";

const HEADERS = { Type: "TYPE", TotalCount: "TOTAL", Active: "ACTIVE", Size: "SIZE", Reclaimable: "RECLAIMABLE" };
const TABLE = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
const RAW = "type: {{.Type}}\ntotal: {{.TotalCount}}\nactive: {{.Active}}\nsize: {{.Size}}\nreclaimable: {{.Reclaimable}}\n";
const IMAGE_TABLE =
  "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}";
const CONTAINER_TABLE = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}";
const LOG_TABLE = "table {{.ID}}\t{{.Driver}}\t{{.Size}}\t{{.Names}}";
const LOG_HEADERS = { ID: "CONTAINER ID", Driver: "LOG DRIVER", Size: "SIZE", Names: "NAMES" };
const VOLUME_TABLE = "table {{.Name}}\t{{.Links}}\t{{.Size}}";

interface Line {
  readonly type: string;
  readonly total: number;
  readonly active: number;
  readonly sizeBytes: number;
  readonly reclaimableBytes: number;
}

function row({ type, total, active, sizeBytes, reclaimableBytes }: Line): Struct {
  const percent = sizeBytes > 0 && type !== "Build Cache" ? ` (${Math.trunc((reclaimableBytes * 100) / sizeBytes)}%)` : "";
  return new Struct("*formatter.diskUsageContext", {
    Type: () => type,
    TotalCount: () => String(total),
    Active: () => String(active),
    Size: () => humanSize(sizeBytes),
    Reclaimable: () => humanSize(reclaimableBytes) + percent,
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function lines({ LayersSize, Images, Containers, Volumes }: DiskUsage): readonly Line[] {
  const usedImages = Images.filter(({ Containers: users = 0 }) => users > 0);
  const usedBytes = sum(
    usedImages.filter(({ Size, SharedSize }) => Size !== -1 && SharedSize !== -1).map(({ Size = 0, SharedSize = 0 }) => Size - SharedSize),
  );
  const isRunning = (state: string | undefined) => /running|paused|restarting/.test(state ?? "");
  const running = Containers.filter(({ State }) => isRunning(State));
  const usedVolumes = Volumes.filter(({ UsageData }) => (UsageData?.RefCount ?? 0) > 0);
  const volumeBytes = (list: DiskUsage["Volumes"]) => sum(list.map(({ UsageData }) => Math.max(0, UsageData?.Size ?? 0)));
  const containerBytes = (list: DiskUsage["Containers"]) => sum(list.map(({ SizeRw }) => SizeRw ?? 0));
  return [
    { type: "Images", total: Images.length, active: usedImages.length, sizeBytes: LayersSize, reclaimableBytes: LayersSize - usedBytes },
    {
      type: "Containers",
      total: Containers.length,
      active: running.length,
      sizeBytes: containerBytes(Containers),
      reclaimableBytes: containerBytes(Containers.filter(({ State }) => !isRunning(State))),
    },
    {
      type: "Local Volumes",
      total: Volumes.length,
      active: usedVolumes.length,
      sizeBytes: volumeBytes(Volumes),
      reclaimableBytes: volumeBytes(Volumes.filter((volume) => !usedVolumes.includes(volume))),
    },
    { type: "Build Cache", total: 0, active: 0, sizeBytes: 0, reclaimableBytes: 0 },
  ];
}

function logRows({ Logs = [], Containers }: DiskUsage): readonly Struct[] {
  return Logs.map(({ ContainerID, Driver, Size }) => {
    const names = Containers.find(({ Id }) => Id === ContainerID)?.Names ?? [];
    return new Struct("*formatter.logContext", {
      ID: () => shortId(ContainerID),
      Driver: () => Driver,
      Size: () => humanSize(Size),
      Names: () => names.map((name) => name.replace(/^\//, "")).join(","),
    });
  });
}

interface VerboseRows {
  readonly Images: readonly Struct[];
  readonly Containers: readonly Struct[];
  readonly Volumes: readonly Struct[];
  readonly BuildCache: readonly Struct[];
}

function verboseRows(usage: DiskUsage, doesTruncate: boolean): VerboseRows {
  return {
    // of an image's names only the first is shown
    Images: usage.Images.flatMap((image) => imageRows(image, { doesTruncate, hasDigests: false }).slice(0, 1)).map(
      ({ typeName, fields, methods }) => new Struct(typeName, { ...fields, Digest: "" }, methods),
    ),
    Containers: usage.Containers.map((container) => containerRow({ ...container, SizeRootFs: 0 }, doesTruncate)),
    Volumes: usage.Volumes.map(volumeRow),
    BuildCache: [],
  };
}

function verbose(usage: DiskUsage): string {
  const { Images: images, Containers: containers, Volumes: volumes } = verboseRows(usage, true);
  return [
    "Images space usage:\n\n",
    formatRows({ format: IMAGE_TABLE, headers: IMAGE_HEADERS, rows: images }),
    "\nContainers space usage:\n\n",
    formatRows({ format: CONTAINER_TABLE, headers: CONTAINER_HEADERS, rows: containers }),
    "\nLocal Volumes space usage:\n\n",
    formatRows({ format: VOLUME_TABLE, headers: VOLUME_HEADERS, rows: volumes }),
    "\nBuild cache usage: 0B\n\n",
    "CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED\n",
    // docker has no such list, nor do its engines tell
    ...(usage.Logs?.length
      ? ["\nLogs space usage:\n\n", formatRows({ format: LOG_TABLE, headers: LOG_HEADERS, rows: logRows(usage) })]
      : []),
  ].join("");
}

export const df = command({
  use: "[OPTIONS]",
  short: "Show docker disk usage",
  args: NO_ARGS,
  flags: {
    format: { kind: STRING, help: FORMAT_HELP },
    verbose: { kind: BOOLEAN, short: "v", help: "Show detailed information on space usage" },
  },
  run: async (ctx, _args, flags) => {
    const usage = await ctx.api.system.diskUsage([]);
    if (flags.verbose && ["", "table"].includes(flags.format)) ctx.stdout.write(verbose(usage));
    else if (flags.verbose) ctx.stdout.write(formatOne(flags.format, verboseRows(usage, false)));
    else {
      const format = flags.format === "raw" ? RAW : flags.format === "" || flags.format === "table" ? TABLE : flags.format;
      ctx.stdout.write(formatRows({ format, headers: HEADERS, rows: lines(usage).map(row) }));
    }
  },
});
