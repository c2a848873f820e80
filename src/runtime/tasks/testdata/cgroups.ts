import { describe, expect, test } from "bun:test";
import { isMountPoint } from "../../../linux/mod.ts";

const isRoot = process.getuid?.() === 0;
/** crun refuses hosts where both cgroup versions have controllers. */
const isHybrid = isRoot && isMountPoint("/sys/fs/cgroup/unified");
const WITHOUT_UNIFIED = 'umount /sys/fs/cgroup/unified; exec "$@"';

/**
 * Defines a file's tests where crun can run. On a hybrid host that is a mount namespace in which one of the two hierarchies is out of
 * sight: `npm test` starts the file there, because it calls this function; else (`bun test <file>`) one test runs the file there again.
 */
export function describeWithCrun(file: string, define: () => void): void {
  if (!isHybrid) {
    describe.skipIf(!isRoot)(isRoot ? "with crun" : "with crun (needs root)", define);
    return;
  }
  test("in a mount namespace without the hybrid cgroup", () => {
    const again = [process.execPath, "test", "--timeout=60000", file];
    const { exitCode, stderr } = Bun.spawnSync(["unshare", "-m", "--propagation", "private", "sh", "-c", WITHOUT_UNIFIED, "sh", ...again], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    expect(exitCode, stderr.toString()).toBe(0);
  }, 300_000);
}
