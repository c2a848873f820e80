import { humanDuration } from "../../lib/mod.ts";

const ELLIPSIS = "…";

/** The first 12 characters of an id, without `sha256:`. */
export function truncateId(id: string): string {
  const colon = id.indexOf(":");
  return (colon < 0 ? id : id.slice(colon + 1)).slice(0, 12);
}

/** At most `width` columns of `text`, with an ellipsis where it was cut. */
export function ellipsis(text: string, width: number): string {
  const chars = [...text];
  return chars.length <= width ? text : chars.slice(0, width - 1).join("") + ELLIPSIS;
}

/** Go's time.Time.String of seconds since the epoch, in the local time zone: `2026-11-22 14:05:12 +0000 UTC`. */
export function timeText(seconds: number): string {
  const date = new Date(seconds * 1000);
  const two = (n: number) => String(n).padStart(2, "0");
  const zone = /\(([^)]+)\)/.exec(date.toString())?.[1] ?? "UTC";
  const name =
    new Intl.DateTimeFormat("en-US", { timeZoneName: "short" }).formatToParts(date).find(({ type }) => type === "timeZoneName")?.value ??
    zone;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())} ${zoneOffset(date).replace(":", "")} ${name}`;
}

/** `+00:00` */
export function zoneOffset(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const two = (n: number) => String(n).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
}

/** `5 minutes ago`; nothing for the zero time. */
export function ago(seconds: number): string {
  return seconds <= 0 ? "" : `${humanDuration(Date.now() - seconds * 1000)} ago`;
}

/** `a=b,c=d`, in order */
export function labelsText(labels: Readonly<Record<string, string>> | null | undefined): string {
  return Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}
