import type { OciHook, OciHooks, OciSpec } from "../../spec/oci-runtime/mod.ts";

/** Runs the hook, and is there until the runtime has closed the other end. */
const SCRIPT = '"$@"; code=$?; while read -r _; do :; done; exit $code';

function lasting(hook: OciHook): OciHook {
  // a hook that takes too long has to be ended itself
  if (hook.timeout !== undefined) return hook;
  return { ...hook, path: "/bin/sh", args: ["sh", "-c", SCRIPT, "sh", hook.path, ...(hook.args ?? []).slice(1)] };
}

/**
 * crun up to 1.16 fails a container's start when a hook has ended before the container's state was written to its standard input: a matter of
 * luck for a hook that doesn't read it. A shell keeps the pipe open. `startContainer` hooks are the container's own programs and stay.
 */
export function withLastingHooks(spec: OciSpec): OciSpec {
  const { hooks } = spec;
  if (hooks === undefined) return spec;
  const lists = Object.entries(hooks).map(([name, list]: [string, readonly OciHook[]]) => [
    name,
    name === "startContainer" ? list : list.map(lasting),
  ]);
  return { ...spec, hooks: Object.fromEntries(lists) as OciHooks };
}
