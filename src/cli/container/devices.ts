import type { DeviceMapping, ThrottleDevice } from "../../spec/engine/mod.ts";
import { parseSize } from "../flag-kinds.ts";

function splitDevice(text: string): readonly [string, string] {
  const at = text.indexOf(":");
  if (at <= 0) throw new Error(`bad format: ${text}`);
  const path = text.slice(0, at);
  if (!path.startsWith("/dev/")) throw new Error(`bad format for device path: ${text}`);
  return [path, text.slice(at + 1)];
}

/** `/dev/sda:500` @throws Error in docker's words */
export function checkWeightDevice(text: string): string {
  const [, weight] = splitDevice(text);
  const number = /^\d+$/.test(weight) ? Number(weight) : Number.NaN;
  if (Number.isNaN(number) || (number > 0 && (number < 10 || number > 1000))) throw new Error(`invalid weight for device: ${text}`);
  return text;
}

/** `/dev/sda:1mb` @throws Error in docker's words */
export function checkBpsDevice(text: string): string {
  const [, rate] = splitDevice(text);
  try {
    if (parseSize(rate) < 0) throw new Error();
  } catch {
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb`,
    );
  }
  return text;
}

/** `/dev/sda:1000` @throws Error in docker's words */
export function checkIopsDevice(text: string): string {
  const [, rate] = splitDevice(text);
  if (!/^\d+$/.test(rate)) {
    throw new Error(`invalid rate for device: ${text}. The correct format is <device-path>:<number>. Number must be a positive integer`);
  }
  return text;
}

/** `c 1:3 rwm` @throws Error in docker's words */
export function checkDeviceRule(text: string): string {
  if (!/^[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}$/.test(text)) throw new Error(`invalid device cgroup format '${text}'`);
  return text;
}

/** The API's form of `/dev/sda:500`. */
export function weightDevice(text: string): { readonly Path: string; readonly Weight: number } {
  const [Path, weight] = splitDevice(text);
  return { Path, Weight: Number(weight) };
}

/** The API's form of `/dev/sda:1mb`. */
export function throttleDevice(text: string): ThrottleDevice {
  const [Path, rate] = splitDevice(text);
  return { Path, Rate: parseSize(rate) };
}

function isDeviceMode(mode: string): boolean {
  return mode !== "" && /^[rwm]{1,3}$/.test(mode) && new Set(mode).size === mode.length;
}

/** `src[:dst[:rwm]]` in the API's form. @throws Error in docker's words */
export function parseDevice(text: string): DeviceMapping {
  const parts = text.split(":");
  if (text.trim() === "" || parts.length > 3) throw new Error(`bad format for path: ${text}`);
  const [source = "", second, third] = parts;
  if (parts.length > 1 && (source === "" || second === "")) throw new Error(`bad format for path: ${text}`);
  const isModeSecond = parts.length === 2 && isDeviceMode(second ?? "");
  const destination = second === undefined || isModeSecond ? source : second;
  if (third !== undefined && !isDeviceMode(third)) throw new Error(`bad mode specified: ${third}`);
  if (!destination.startsWith("/")) throw new Error(`${destination} is not an absolute path`);
  return { PathOnHost: source, PathInContainer: destination, CgroupPermissions: third ?? (isModeSecond ? (second ?? "") : "rwm") };
}

/** `vendor/class=name`: a device of the Container Device Interface. */
export function isCdiDevice(text: string): boolean {
  return /^[a-zA-Z][\w.-]*\/[a-zA-Z][\w.-]*=[a-zA-Z0-9][\w.:-]*$/.test(text);
}
