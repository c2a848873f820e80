import { readFileSync } from "node:fs";

const NS_PER_TICK = 10_000_000;

/** What the whole machine has used, for the percentages of `docker stats`. @see proc_stat(5) */
export interface SystemCpu {
  /** Nanoseconds of user, nice, system, idle, iowait, irq and softirq time over all CPUs. */
  readonly usageNs: number;
  readonly onlineCpus: number;
}

/** Reads /proc/stat. */
export function systemCpu(): SystemCpu {
  return parseSystemCpu(readFileSync("/proc/stat", "utf8"));
}

/** Reads the text of /proc/stat. */
export function parseSystemCpu(text: string): SystemCpu {
  let usageNs = 0;
  let onlineCpus = 0;
  for (const line of text.split("\n")) {
    if (!line.startsWith("cpu")) break;
    if (line[3] !== " ") onlineCpus++;
    else
      usageNs =
        line
          .trim()
          .split(/\s+/)
          .slice(1, 8)
          .reduce((sum, ticks) => sum + Number(ticks), 0) * NS_PER_TICK;
  }
  return { usageNs, onlineCpus };
}
