import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { digestOf, type Logger } from "../lib/mod.ts";
import type { HostFacts } from "./host.ts";

/** The profile of containers that don't name one. Not docker's name: a dockerd on the same machine has a profile of its own. */
export const DEFAULT_APPARMOR_PROFILE = "dhow-default";

const LOADED_PROFILES = "/sys/kernel/security/apparmor/profiles";
/** Where a daemon's PATH may not lead. */
const SBIN = "/usr/local/sbin:/usr/sbin:/sbin";

/**
 * The text of a profile that lets a container's processes do all but mounting, writing to what belongs to the kernel as a whole below
 * /proc and /sys, and touching processes outside of the container: as strict as docker's own profile. `daemonLabel` is the confinement
 * of the daemon, which sends signals.
 * @see apparmor.d(5)
 */
export function appArmorProfileText(name: string, daemonLabel = "unconfined"): string {
  // newer distributions give the runtimes labels of their own, and a kill may come from them
  const senders = new Set(["unconfined", "crun", "runc", daemonLabel]);
  return `profile ${name} flags=(attach_disconnected, mediate_deleted) {
  file,
  network,
  unix,
  capability,
  umount,

  # There is no rule for pivot_root either: it is refused, too.
  deny mount,

  # Signals come from the host and from neighbours, and go to neighbours only.
${[...senders].map((label) => `  signal (receive) peer="${label}",\n`).join("")}  signal (send, receive) peer="${name}",

  # Neighbours may be looked into. Who else looks in is limited by the rules for the one who looks.
  ptrace (read, trace) peer="${name}",
  ptrace (readby, tracedby),

  # Of /proc only the directories of processes take writes, and the limits of System V shared memory.
  deny /proc/* w,
  deny /proc/{[^0-9s],s[^y],sy[^s],sys[^/]}*/** w,
  deny /proc/sys/{[^k],k[^e]}** w,
  deny /proc/sys/kernel/{[^s],s[^h],sh[^m]}** w,
  deny /proc/{sysrq-trigger,kcore} klrwx,

  # Of /sys only the cgroups take writes, and some of it shows too much.
  deny /sys/{[^f],f[^s],fs[^/]}*/** klwx,
  deny /sys/fs/{[^c],c[^g],cg[^r]}*/** klwx,
  deny /sys/{firmware,kernel/security,devices/virtual/powercap}/** klrwx,
}
`;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function isLoaded(name: string): boolean {
  return read(LOADED_PROFILES)
    .split("\n")
    .some((line) => line.startsWith(`${name} (`));
}

/** `dhow-default (enforce)` without the mode; "unconfined" for a process that isn't. */
function ownLabel(): string {
  const text = read("/proc/self/attr/apparmor/current") || read("/proc/self/attr/current");
  return (
    text
      .replaceAll("\0", "")
      .trim()
      .replace(/ \([a-z]+\)$/, "") || "unconfined"
  );
}

/**
 * Loads the default profile into the kernel, unless this daemon has done that since the machine started. Returns its name; undefined,
 * with a warning where the kernel asks for one, when containers have to run without.
 */
export async function loadDefaultAppArmorProfile(options: {
  readonly facts: HostFacts;
  readonly execRoot: string;
  readonly log: Logger;
}): Promise<string | undefined> {
  const { facts, execRoot, log } = options;
  if (!facts.apparmor) return undefined;
  const text = appArmorProfileText(DEFAULT_APPARMOR_PROFILE, ownLabel());
  const mark = join(execRoot, "apparmor");
  if (read(mark) === digestOf(text) && isLoaded(DEFAULT_APPARMOR_PROFILE)) return DEFAULT_APPARMOR_PROFILE;
  const failure = await load(text);
  if (failure === undefined) {
    writeFileSync(mark, digestOf(text));
    return DEFAULT_APPARMOR_PROFILE;
  }
  if (isLoaded(DEFAULT_APPARMOR_PROFILE)) return DEFAULT_APPARMOR_PROFILE;
  log.warn("the default AppArmor profile could not be loaded: containers that name none run without", { reason: failure });
  return undefined;
}

/** Why the kernel has not taken the profile; undefined when it has. */
async function load(text: string): Promise<string | undefined> {
  const parser = Bun.which("apparmor_parser", { PATH: `${process.env["PATH"] ?? ""}:${SBIN}` });
  if (parser === null) return "apparmor_parser is not installed";
  const child = Bun.spawn([parser, "--replace", "--skip-cache"], { stdin: Buffer.from(text), stdout: "ignore", stderr: "pipe" });
  const [message, exitCode] = await Promise.all([new Response(child.stderr).text(), child.exited]);
  return exitCode === 0 ? undefined : `apparmor_parser ended with ${exitCode}: ${message.trim()}`;
}
