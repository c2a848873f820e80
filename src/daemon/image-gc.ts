/** The daemon's settings for the collection of images: `image-gc` in daemon.json, or the flags `--image-gc-…`. */

import type { ImageGcSettings } from "../engine/mod.ts";
import { parseDuration } from "../lib/mod.ts";
import { invalid } from "./flags.ts";

const KEYS = ["high", "low", "min-age"];
const BELOW_HIGH = 5;
/** kubelet's watermark, and a time in which a build or a test comes back. */
const DEFAULT_LOW = 80;
const DEFAULT_MIN_AGE_MS = 3_600_000;

/** @throws invalid for what is no watermark or age, and for a setting given both ways */
export function imageGcSettings(inFile: Readonly<Record<string, string>>, flag: (name: string) => string | undefined): ImageGcSettings {
  const unknown = Object.keys(inFile).find((key) => !KEYS.includes(key));
  if (unknown !== undefined) throw invalid(`image-gc: there is no ${JSON.stringify(unknown)}, only ${KEYS.join(", ")}`);
  const given = (key: string): string | undefined => {
    const [fromFlag, fromFile] = [flag(`image-gc-${key}`), inFile[key]];
    if (fromFlag !== undefined && fromFile !== undefined)
      throw invalid(
        `image-gc.${key}: (from flag: ${fromFlag}, from file: ${fromFile}): it is specified both as a flag and in the configuration file`,
      );
    return fromFlag ?? fromFile;
  };
  const high = percent(given("high"), "high");
  const low = percent(given("low"), "low") ?? (high === undefined ? DEFAULT_LOW : Math.max(1, high - BELOW_HIGH));
  if (high !== undefined && low >= high) throw invalid(`image-gc: low (${low}%) must be below high (${high}%)`);
  const age = given("min-age");
  const ageNs = age === undefined ? undefined : parseDuration(age);
  if (age !== undefined && (ageNs === undefined || ageNs < 0n))
    throw invalid(`image-gc: invalid min-age ${JSON.stringify(age)}: must be a duration such as 1h`);
  return { highPercent: high, lowPercent: low, minAgeMs: ageNs === undefined ? DEFAULT_MIN_AGE_MS : Number(ageNs / 1_000_000n) };
}

function percent(text: string | undefined, key: string): number | undefined {
  if (text === undefined) return undefined;
  const value = /^\d{1,3}%?$/.test(text) ? Number.parseInt(text, 10) : 0;
  if (value < 1 || value > 100) throw invalid(`image-gc: invalid ${key} ${JSON.stringify(text)}: must be a percentage such as 85%`);
  return value;
}
