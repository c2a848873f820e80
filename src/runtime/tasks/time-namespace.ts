import { existsSync, readlinkSync } from "node:fs";
import { uptime } from "node:os";
import { DhowError } from "../../lib/mod.ts";

/** How far a container's clocks are from the host's, in seconds. @see time_namespaces(7) */
export interface TimeOffsets {
  readonly monotonic: number;
  readonly boottime: number;
}

/** The kernel's limit: half of what its clocks can count. */
const MAX_SECONDS = 4_611_686_018;
const CLOCKS = ["monotonic", "boottime"] as const;

/** Reads `monotonic=SECONDS,boottime=SECONDS`, one of them or both. @throws invalid */
export function parseTimeOffsets(text: string): TimeOffsets {
  const offsets = { monotonic: 0, boottime: 0 };
  const seen = new Set<string>();
  for (const part of text.split(",")) {
    const match = /^(monotonic|boottime)=([+-]?\d+)$/.exec(part.trim());
    const clock = CLOCKS.find((name) => name === match?.[1]);
    const seconds = Number(match?.[2]);
    if (clock === undefined || seen.has(clock) || Math.abs(seconds) > MAX_SECONDS)
      throw new DhowError("invalid", `invalid time offset ${JSON.stringify(text)}: it must be monotonic=SECONDS,boottime=SECONDS`);
    seen.add(clock);
    offsets[clock] = seconds;
  }
  return offsets;
}

/** Refuses offsets that the kernel would refuse now. @throws invalid for a clock before its zero, unsupported without time namespaces */
export function checkTimeOffsets(offsets: TimeOffsets): void {
  if (!existsSync("/proc/self/ns/time")) throw new DhowError("unsupported", "time offset: this kernel has no time namespaces (Linux 5.6)");
  const now = { monotonic: Number(process.hrtime.bigint() / 1_000_000_000n), boottime: Math.floor(uptime()) };
  for (const clock of CLOCKS) {
    if (now[clock] + offsets[clock] < 0)
      throw new DhowError("invalid", `time offset ${clock}=${offsets[clock]}: the clock stands at ${now[clock]} s and can't be before 0`);
  }
}

/**
 * A holder's command line in a new time namespace: its children, the runtime and so the container, are born in it. crun's own way of
 * asking for one fails together with a user namespace, and older runtimes have none. A runtime knows a process by the time of its
 * start, which /proc tells by the reader's clock: whatever it is asked later has to be asked in there, too.
 * @see unshare(1)
 */
export function inNewTimeNamespace({ monotonic, boottime }: TimeOffsets, line: readonly string[]): string[] {
  return ["unshare", "--time", `--monotonic=${monotonic}`, `--boottime=${boottime}`, "--", ...line];
}

/** Whether the process `pid` has other clocks than this one; false when it is gone. */
export function hasOtherClocks(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/ns/time`) !== readlinkSync("/proc/self/ns/time");
  } catch {
    // it is gone, or the kernel knows no time namespaces
    return false;
  }
}

/** A command line in the time namespace of the process `pid`. @see nsenter(1) */
export function inTimeNamespaceOf(pid: number, line: readonly string[]): string[] {
  return [Bun.which("nsenter") ?? "nsenter", `--time=/proc/${pid}/ns/time`, "--", ...line];
}
