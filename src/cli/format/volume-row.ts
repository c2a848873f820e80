import { humanSize, Struct } from "../../lib/mod.ts";
import type { Volume } from "../../spec/engine/mod.ts";
import { labelsText } from "./text.ts";

export const VOLUME_HEADERS = {
  ID: "VOLUME NAME",
  Name: "VOLUME NAME",
  Driver: "DRIVER",
  Scope: "SCOPE",
  Availability: "AVAILABILITY",
  Mountpoint: "MOUNTPOINT",
  Labels: "LABELS",
  Links: "LINKS",
  Size: "SIZE",
  Group: "GROUP",
  Status: "STATUS",
};

/** A volume as a row of `docker volume ls`. */
export function volumeRow(volume: Volume): Struct {
  const { Name = "", Driver = "", Scope = "", Mountpoint = "", Labels, UsageData } = volume;
  return new Struct(
    "*formatter.volumeContext",
    {
      Name: () => Name,
      Driver: () => Driver,
      Scope: () => Scope ?? "",
      Mountpoint: () => Mountpoint,
      Labels: () => labelsText(Labels),
      Links: () => (UsageData ? String(UsageData.RefCount) : "N/A"),
      Size: () => (UsageData ? humanSize(UsageData.Size ?? 0) : "N/A"),
      Group: () => "N/A",
      Availability: () => "N/A",
      Status: () => "N/A",
    },
    { Label: (name: unknown) => Labels?.[String(name)] ?? "" },
  );
}
