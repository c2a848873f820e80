import { DhowError, errorMessage } from "../lib/mod.ts";
import { MNT_DETACH, MS_BIND, MS_REC, MS_REMOUNT, mount, SysError, strerror, umount } from "../linux/mod.ts";

/** One call of mount(2) with what follows from its options, or of umount2(2). */
export type MountCall =
  | {
      readonly kind: "mount";
      readonly source: string;
      readonly target: string;
      readonly type: string;
      readonly flags: number;
      readonly data: string;
      /** Flags of the calls that set the propagation. */
      readonly propagation: readonly number[];
    }
  | { readonly kind: "umount"; readonly target: string };

interface Patience {
  readonly timeoutMs?: number;
  /** Gives it up; a mount that the kernel has begun is ended with its process. */
  readonly signal?: AbortSignal | undefined;
}

/** How long a server that is asked for its files may take. */
const TIMEOUT_MS = 120_000;

/** Does it in this thread, which waits for as long as the kernel does. @throws {SysError} */
export function callMount(call: MountCall): void {
  if (call.kind === "umount") {
    umount(call.target, MNT_DETACH);
    return;
  }
  const { source, target, type, flags, data } = call;
  mount(source, target, type, flags, data);
  // the first mount of a bind ignores every flag but MS_REC
  if (flags & MS_BIND && flags & ~(MS_BIND | MS_REC)) mount(null, target, null, (flags & ~MS_REC) | MS_REMOUNT, data);
  for (const mode of call.propagation) mount(null, target, null, mode);
}

/** Why a mount failed, in the kernel's words. */
export function mountError(error: unknown): string {
  return error instanceof SysError ? strerror(error.errno) : errorMessage(error);
}

/** Of a compiled executable the sources can't be started. */
function helperCommand(): string[] {
  if (import.meta.dir.startsWith("/$bunfs/")) return [process.execPath, "internal-mount"];
  return [process.execPath, `${import.meta.dir}/mount-helper.ts`];
}

/**
 * Does it in a process of its own, of this one's mount namespace: a server on the network that doesn't answer holds up mount(2), and nothing
 * else. What is mounted may be secret (passwords) and is passed by a pipe. @throws internal in the kernel's words, and the signal's reason
 */
export async function callMountAside(call: MountCall, { timeoutMs = TIMEOUT_MS, signal }: Patience = {}): Promise<void> {
  signal?.throwIfAborted();
  const child = Bun.spawn(helperCommand(), { cwd: "/", stdin: new Blob([JSON.stringify(call)]), stdout: "pipe", stderr: "ignore" });
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  const late = (): void => reject(new DhowError("internal", `no answer within ${timeoutMs / 1000} s`));
  const timer = setTimeout(late, timeoutMs);
  const give = (): void => reject(signal?.reason);
  signal?.addEventListener("abort", give, { once: true });
  try {
    const text = await Promise.race([child.stdout.text(), givenUp]);
    const { error } = JSON.parse(text || '{"error":"the helper ended without an answer"}') as { readonly error?: string };
    if (error !== undefined) throw new DhowError("internal", error);
    await child.exited;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", give);
    // one that waits for a file system may take until that answers: it is not waited for
    child.kill("SIGKILL");
    child.unref();
  }
}

/** The helper's side: reads a call, makes it, says what became of it. */
export async function runMountHelper(): Promise<number> {
  const call = JSON.parse(await Bun.stdin.text()) as MountCall;
  try {
    callMount(call);
    process.stdout.write("{}");
  } catch (error) {
    process.stdout.write(JSON.stringify({ error: mountError(error) }));
  }
  return 0;
}

if (import.meta.main) process.exitCode = await runMountHelper();
