import { readText } from "../env-file.ts";

export interface SecurityOptions {
  readonly options: readonly string[];
  /** Undefined = the daemon's default. */
  readonly maskedPaths: readonly string[] | undefined;
  readonly readonlyPaths: readonly string[] | undefined;
}

function seccomp(value: string): string {
  if (value === "unconfined" || value === "builtin") return `seccomp=${value}`;
  let text: string;
  try {
    text = readText(value);
  } catch (error) {
    throw new Error(`opening seccomp profile (${value}) failed: ${(error as Error).message}`);
  }
  try {
    return `seccomp=${JSON.stringify(JSON.parse(text))}`;
  } catch (error) {
    throw new Error(`compacting json for seccomp profile (${value}) failed: ${(error as Error).message}`);
  }
}

/** `--security-opt`s; a seccomp profile is read from its file. @throws Error in docker's words */
export function parseSecurityOptions(given: readonly string[]): SecurityOptions {
  const options: string[] = [];
  let isUnconfined = false;
  for (const option of given) {
    if (option === "systempaths=unconfined") {
      isUnconfined = true;
      continue;
    }
    const separator = option.includes("=") ? "=" : ":";
    const at = option.indexOf(separator);
    if (at < 0 && option !== "no-new-privileges") throw new Error(`Invalid --security-opt: ${JSON.stringify(option)}`);
    options.push(option.slice(0, at) === "seccomp" ? seccomp(option.slice(at + 1)) : option);
  }
  return { options, maskedPaths: isUnconfined ? [] : undefined, readonlyPaths: isUnconfined ? [] : undefined };
}
