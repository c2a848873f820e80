import { DhowError } from "../../lib/mod.ts";

/** Capability names by number. @see linux/capability.h, capabilities(7) */
export const CAPABILITY_NAMES: readonly string[] = [
  "CHOWN",
  "DAC_OVERRIDE",
  "DAC_READ_SEARCH",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "LINUX_IMMUTABLE",
  "NET_BIND_SERVICE",
  "NET_BROADCAST",
  "NET_ADMIN",
  "NET_RAW",
  "IPC_LOCK",
  "IPC_OWNER",
  "SYS_MODULE",
  "SYS_RAWIO",
  "SYS_CHROOT",
  "SYS_PTRACE",
  "SYS_PACCT",
  "SYS_ADMIN",
  "SYS_BOOT",
  "SYS_NICE",
  "SYS_RESOURCE",
  "SYS_TIME",
  "SYS_TTY_CONFIG",
  "MKNOD",
  "LEASE",
  "AUDIT_WRITE",
  "AUDIT_CONTROL",
  "SETFCAP",
  "MAC_OVERRIDE",
  "MAC_ADMIN",
  "SYSLOG",
  "WAKE_ALARM",
  "BLOCK_SUSPEND",
  "AUDIT_READ",
  "PERFMON",
  "BPF",
  "CHECKPOINT_RESTORE",
].map((name) => `CAP_${name}`);

const KNOWN: ReadonlySet<string> = new Set(CAPABILITY_NAMES);

/** What a container gets without `--cap-add`: Docker's list, in Docker's order. */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/** The names of the capabilities in a mask such as CapBnd's. */
export function capabilityNames(mask: bigint): string[] {
  return CAPABILITY_NAMES.filter((_, bit) => (mask >> BigInt(bit)) & 1n);
}

/**
 * `--cap-add`/`--cap-drop` values in one spelling: upper case with `CAP_`, or `ALL`.
 * @throws invalid in docker's words for a name that no kernel has, or that the daemon itself doesn't hold
 */
export function normalizeCapabilities(names: readonly string[] | null | undefined, available: ReadonlySet<string>): string[] {
  return (names ?? []).map((given) => {
    const upper = given.toUpperCase();
    if (upper === "ALL") return upper;
    const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
    if (!KNOWN.has(name)) throw new DhowError("invalid", `unknown capability: ${JSON.stringify(name)}`);
    if (!available.has(name)) {
      throw new DhowError(
        "invalid",
        `capability not supported by your kernel or not available in the current environment: ${JSON.stringify(name)}`,
      );
    }
    return name;
  });
}

export interface CapabilityRequest {
  readonly add?: readonly string[] | null | undefined;
  readonly drop?: readonly string[] | null | undefined;
  readonly privileged?: boolean | undefined;
}

/**
 * The capabilities of a container: all of `bounding` when privileged, else Docker's default set with drops, then adds, applied.
 * Nothing outside `bounding` is ever in it: the daemon can't hand on what it doesn't hold.
 * @throws invalid as `normalizeCapabilities`
 */
export function containerCapabilities(request: CapabilityRequest, bounding: bigint): string[] {
  const all = capabilityNames(bounding);
  if (request.privileged) return all;
  const available = new Set(all);
  // What the daemon doesn't hold is dropped already.
  const drop = new Set(normalizeCapabilities(request.drop, KNOWN));
  const add = normalizeCapabilities(request.add, available);
  if (add.includes("ALL")) return all.filter((name) => !drop.has(name));
  if (drop.has("ALL")) return [...new Set(add)];
  const kept = DEFAULT_CAPABILITIES.filter((name) => available.has(name) && !drop.has(name));
  return [...new Set([...kept, ...add])];
}
