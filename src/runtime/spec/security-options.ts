import { DhowError } from "../../lib/mod.ts";

/** `--security-opt` values, read. */
export interface SecurityOptions {
  readonly noNewPrivileges: boolean;
  /** A profile's name, `unconfined`, or empty for the default. */
  readonly apparmor: string;
  /** A profile's JSON, `unconfined`, `builtin`, or empty for the default. */
  readonly seccomp: string;
  /** SELinux label options; `disable` is the usual one. */
  readonly labels: readonly string[];
  /** Undefined: writable only when privileged. */
  readonly writableCgroups: boolean | undefined;
}

const TRUE = new Set(["1", "t", "T", "true", "TRUE", "True"]);
const FALSE = new Set(["0", "f", "F", "false", "FALSE", "False"]);

function flag(value: string, option: string): boolean {
  if (TRUE.has(value)) return true;
  if (FALSE.has(value)) return false;
  throw new DhowError("invalid", `invalid --security-opt 2: ${JSON.stringify(option)}`);
}

/** Reads `--security-opt` values; `noNewPrivileges` is the daemon's default. @throws invalid in docker's words */
export function parseSecurityOptions(options: readonly string[] | null | undefined, noNewPrivileges = false): SecurityOptions {
  const result = { noNewPrivileges, apparmor: "", seccomp: "", labels: [] as string[], writableCgroups: undefined as boolean | undefined };
  for (const option of options ?? []) {
    if (option === "no-new-privileges") result.noNewPrivileges = true;
    else if (option === "writable-cgroups") result.writableCgroups = true;
    else if (option === "disable") result.labels.push("disable");
    else {
      const at = option.includes("=") ? option.indexOf("=") : option.indexOf(":");
      if (at < 0) throw new DhowError("invalid", `invalid --security-opt 1: ${JSON.stringify(option)}`);
      const key = option.slice(0, at);
      const value = option.slice(at + 1);
      if (key === "label") result.labels.push(value);
      else if (key === "apparmor") result.apparmor = value;
      else if (key === "seccomp") result.seccomp = value;
      else if (key === "no-new-privileges") result.noNewPrivileges = flag(value, option);
      else if (key === "writable-cgroups") result.writableCgroups = flag(value, option);
      else throw new DhowError("invalid", `invalid --security-opt 2: ${JSON.stringify(option)}`);
    }
  }
  return result;
}
