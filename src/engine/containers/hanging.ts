import { DhowError } from "../../lib/mod.ts";
import { askingMountPoints } from "../../linux/mod.ts";
import { isElsewhere, type Volumes } from "../../volumes/mod.ts";
import type { Container } from "./store.ts";

/** Whether this host has a file system that asks somebody else: a server on the network, the process behind a FUSE. */
const hasAsking = (): boolean => askingMountPoints().length > 0;

/**
 * Whether a look at the container's files may wait for somebody who doesn't answer. Told without a look at the files: something of the
 * host is mounted in the container, and the host has a file system that asks, for links may lead to it.
 */
export function mayHang({ spec }: Container, volumes: Volumes): boolean {
  const isForeign = spec.mounts.some((m) => m.kind === "bind" || (m.kind === "volume" && isElsewhere(volumes.tryGet(m.volume))));
  return isForeign && hasAsking();
}

interface Patience {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Waits until the file systems below `paths` answer, whatever they say, in a process that can be given up; at once on a host where none can
 * keep anybody waiting.
 * @throws unavailable when one doesn't answer in time, and the signal's reason
 */
export async function untilAnswering(paths: readonly string[], { timeoutMs, signal }: Patience): Promise<void> {
  if (paths.length === 0 || !hasAsking()) return;
  const child = Bun.spawn(["/bin/sh", "-c", 'for path; do [ -e "$path" ]; done', "sh", ...paths], {
    cwd: "/",
    stdio: ["ignore", "ignore", "ignore"],
  });
  const { promise: givenUp, reject } = Promise.withResolvers<never>();
  const give = (): void => reject(signal?.reason);
  const late = (): void => {
    const text = `the file systems of ${paths.join(", ")} did not answer within ${Math.round(timeoutMs / 1000)} s (--runtime-timeout)`;
    reject(new DhowError("unavailable", text));
  };
  signal?.addEventListener("abort", give, { once: true });
  const timer = setTimeout(late, timeoutMs);
  try {
    await Promise.race([child.exited, givenUp]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", give);
    child.kill("SIGKILL");
    child.unref();
  }
}
