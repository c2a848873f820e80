import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isErrno } from "./errno.ts";
import { MNT_DETACH, readMountInfo, umount } from "./mount.ts";

/** Whether this process may do what the kernel keeps for root; tests skip with this as their reason. */
export const isRoot = process.getuid?.() === 0;

/** A new directory for one test; at the end what is mounted in it goes, then the directory. */
export function temporaryDirectory(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), "dhow-linux-"));
  return {
    path,
    [Symbol.dispose]() {
      for (const { mountPoint } of readMountInfo().reverse()) {
        if (mountPoint === path || mountPoint.startsWith(`${path}/`)) unmount(mountPoint);
      }
      rmSync(path, { recursive: true, force: true });
    },
  };
}

function unmount(path: string): void {
  try {
    umount(path, MNT_DETACH);
  } catch (error) {
    if (!isErrno(error, "EINVAL", "ENOENT")) throw error;
  }
}

/** What `work` throws; an error of its own when it throws nothing. */
export function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

/** The errno name of what `work` throws. */
export function thrownCode(work: () => unknown): string | undefined {
  const error = thrown(work);
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
