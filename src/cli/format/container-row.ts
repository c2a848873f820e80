import { humanSize, Nil, Struct } from "../../lib/mod.ts";
import type { ContainerSummary } from "../../spec/engine/mod.ts";
import { displayablePorts } from "./ports.ts";
import { ago, ellipsis, labelsText, timeText, truncateId } from "./text.ts";

const COMMAND_WIDTH = 20;
const MOUNT_WIDTH = 15;
const SIZE_DIGITS = 3;

export const CONTAINER_HEADERS = {
  ID: "CONTAINER ID",
  Names: "NAMES",
  Image: "IMAGE",
  Command: "COMMAND",
  CreatedAt: "CREATED AT",
  RunningFor: "CREATED",
  Platform: "PLATFORM",
  Ports: "PORTS",
  State: "STATE",
  Status: "STATUS",
  Size: "SIZE",
  Labels: "LABELS",
  Mounts: "MOUNTS",
  LocalVolumes: "LOCAL VOLUMES",
  Networks: "NETWORKS",
};

export const CONTAINER_TABLE = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";

/** A container's size as `docker ps -s` shows it. */
export function containerSize({ SizeRw = 0, SizeRootFs = 0 }: ContainerSummary): string {
  const size = humanSize(SizeRw ?? 0, SIZE_DIGITS);
  return SizeRootFs && SizeRootFs > 0 ? `${size} (virtual ${humanSize(SizeRootFs, SIZE_DIGITS)})` : size;
}

function names(container: ContainerSummary, doesTruncate: boolean): string {
  const all = (container.Names ?? []).map((name) => name.replace(/^\//, ""));
  return (doesTruncate ? all.filter((name) => !name.includes("/")) : all).join(",");
}

function image({ Image = "", ImageID = "" }: ContainerSummary, doesTruncate: boolean): string {
  if (Image === "") return "<no image>";
  if (!doesTruncate) return Image;
  const id = truncateId(ImageID);
  if (id !== "" && id === truncateId(Image)) return id;
  return /^(.+:[^/:@]+)@[^@]+$/.exec(Image)?.[1] ?? Image;
}

/** A container as a row of `docker ps`. */
export function containerRow(container: ContainerSummary, doesTruncate: boolean): Struct {
  const mounts = container.Mounts ?? [];
  const labels = container.Labels ?? {};
  const created = container.Created ?? 0;
  return new Struct(
    "*formatter.ContainerContext",
    {
      ID: () => (doesTruncate ? truncateId(container.Id ?? "") : (container.Id ?? "")),
      Names: () => names(container, doesTruncate),
      Image: () => image(container, doesTruncate),
      Command: () => JSON.stringify(doesTruncate ? ellipsis(container.Command ?? "", COMMAND_WIDTH) : (container.Command ?? "")),
      CreatedAt: () => timeText(created),
      RunningFor: () => ago(created),
      Platform: () => new Nil("<nil>"),
      Ports: () => displayablePorts(container.Ports ?? []),
      State: () => container.State ?? "",
      Status: () => container.Status ?? "",
      Size: () => containerSize(container),
      Labels: () => labelsText(labels),
      Mounts: () =>
        mounts
          .map((mount) => mount.Name || mount.Source || "")
          .map((name) => (doesTruncate ? ellipsis(name, MOUNT_WIDTH) : name))
          .join(","),
      LocalVolumes: () => String(mounts.filter(({ Driver }) => Driver === "local").length),
      Networks: () => Object.keys(container.NetworkSettings?.Networks ?? {}).join(","),
    },
    { Label: (name: unknown) => labels[String(name)] ?? "" },
  );
}
