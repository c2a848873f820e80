import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ChainId, chainId, type Defect, type DiffId, type Digest } from "../lib/mod.ts";
import { isErrno, MNT_DETACH, readMountInfo, umount } from "../linux/mod.ts";
import type { Snapshotter } from "./mod.ts";

/** Snapshots need mounts, devices and trusted xattrs; tests skip with this as their reason. */
export const isRoot = process.getuid?.() === 0;

/** A new directory for one test; at the end what is mounted in it goes, then the directory. */
export function temporaryDirectory(parent = tmpdir()): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(parent, "dhow-snapshots-"));
  return {
    path,
    [Symbol.dispose]() {
      for (const { mountPoint } of readMountInfo().reverse())
        if (mountPoint === path || mountPoint.startsWith(`${path}/`)) detach(mountPoint);
      rmSync(path, { recursive: true, force: true });
    },
  };
}

function detach(path: string): void {
  try {
    umount(path, MNT_DETACH);
  } catch (error) {
    if (!isErrno(error, "EINVAL", "ENOENT")) throw error;
  }
}

/** Commits a layer whose tree `fill` makes; its chainID follows from `name`. */
export async function makeLayer(s: Snapshotter, parent: ChainId | null, name: string, fill: (root: string) => void): Promise<ChainId> {
  const draft = await s.draft(parent);
  fill(draft.root);
  const chain = chainId(parent, `sha256:${createHash("sha256").update(name).digest("hex")}` as Digest as DiffId);
  draft.commit(chain);
  return chain;
}

/** Writes files by name, directories on the way included. */
export function files(content: Readonly<Record<string, string>>): (root: string) => void {
  return (root) => {
    for (const [name, text] of Object.entries(content)) {
      mkdirSync(join(root, name, ".."), { recursive: true });
      writeFileSync(join(root, name), text);
    }
  };
}

/** Puts right what a driver finds wrong. */
export function mendAll(defects: readonly Defect[]): void {
  for (const { mend } of defects) void mend();
}
