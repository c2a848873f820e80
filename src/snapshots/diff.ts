import { isOverlayXattr } from "../files/mod.ts";
import { decodeName } from "../lib/mod.ts";
import {
  AT_SYMLINK_NOFOLLOW,
  type Dirent,
  type Fd,
  type FileStat,
  fgetxattr,
  isErrno,
  lgetxattr,
  llistxattr,
  procFdPath,
  S_IFDIR,
  S_IFLNK,
  S_IFMT,
  tryStatx,
} from "../linux/mod.ts";
import { isWhiteout } from "./attributes.ts";
import { type Found, isDirectory, joinPath, sortedDirents, tryOpenDirectory } from "./walk.ts";

const OPAQUE = "trusted.overlay.opaque";
const CAPABILITY = "security.capability";
const SECOND_NS = 1_000_000_000n;

/** One path that a snapshot has changed, or may have. */
export type Difference =
  | {
      /** `same`: what docker compares is as it was. */
      readonly kind: "added" | "modified" | "same";
      readonly path: string;
      readonly file: Found;
      /**
       * It belongs to the snapshot's changes though it may be the same: a file that was written to, or a directory with another time, or
       * one that shows by itself only, because the directory that it is in is opaque. False for directories on the way to changes.
       */
      readonly isTouched: boolean;
      /** Nothing that the parent has in this directory shows. */
      readonly isOpaque: boolean;
    }
  | {
      readonly kind: "deleted";
      readonly path: string;
      /** It is gone because the directory that it is in, or one above, is opaque. */
      readonly isImplied: boolean;
    };

/** What is compared: a snapshot's tree and its parent's. */
export interface DiffTrees {
  readonly upper: Fd;
  /** Null for a snapshot without a parent. */
  readonly lower: Fd | null;
  /**
   * `overlay`: the upper tree holds changes only, with whiteouts and opaque directories in overlay form.
   * `whole`: it is a changed copy of the lower one.
   */
  readonly form: "overlay" | "whole";
}

/** How a directory is compared with the parent's. */
interface Scope {
  readonly form: DiffTrees["form"];
  /** What the parent has here and the upper tree has not is gone. */
  readonly isOpaque: boolean;
}

/**
 * Compares two trees: directories before what is in them, names in the order of their bytes, the roots themselves left out. Of a deleted
 * directory only itself is told. Follows no link; a tree that changes meanwhile gives a mixture of before and after.
 * @throws invalid for a tree that is too deep
 */
export function compareTrees({ upper, lower, form }: DiffTrees): Generator<Difference, void, void> {
  return compare(upper, lower ?? undefined, "", { form, isOpaque: false });
}

function* compare(upper: Fd, lower: Fd | undefined, prefix: string, scope: Scope): Generator<Difference, void, void> {
  const isWhole = scope.form === "whole" || scope.isOpaque;
  for (const { raw } of names(upper, isWhole ? lower : undefined)) {
    const found = tryStatx(upper.fd, raw, AT_SYMLINK_NOFOLLOW);
    const stat = found !== undefined && scope.form === "overlay" && isWhiteout(found) ? undefined : found;
    const below = lower === undefined ? undefined : statBelow(lower, raw);
    const path = joinPath(prefix, decodeName(raw));
    if (stat !== undefined) yield* compareFile({ upper, lower, raw, path, stat, below }, scope);
    else if (below !== undefined) yield { kind: "deleted", path, isImplied: scope.form === "overlay" && scope.isOpaque };
  }
}

interface Pair {
  readonly upper: Fd;
  readonly lower: Fd | undefined;
  readonly raw: Uint8Array;
  readonly path: string;
  readonly stat: FileStat;
  readonly below: FileStat | undefined;
}

function* compareFile(pair: Pair, scope: Scope): Generator<Difference, void, void> {
  const { upper, lower, raw, path, stat, below } = pair;
  const file: Found = { path, dirfd: upper.fd, raw, stat };
  const kind = below === undefined ? "added" : isChanged(pair, below) ? "modified" : "same";
  if (!isDirectory(stat)) {
    if (kind !== "same" || scope.form === "overlay" || !haveSameXattrs(pair)) yield { kind, path, file, isTouched: true, isOpaque: false };
    return;
  }
  using inner = tryOpenDirectory(upper.fd, raw);
  if (inner === undefined) return;
  using innerLower = lower !== undefined && below !== undefined ? tryOpenDirectory(lower.fd, raw) : undefined;
  const isOpaque = !scope.isOpaque && scope.form === "overlay" && innerLower !== undefined && hasOpaqueMark(inner.fd);
  const isTouched = kind !== "same" || scope.isOpaque || below === undefined || !isSameTime(stat.mtimeNs, below.mtimeNs);
  yield { kind, path, file, isTouched, isOpaque };
  yield* compare(inner, innerLower, path, { form: scope.form, isOpaque: isOpaque || scope.isOpaque });
}

/** The names in a directory and, where given, in another, in order. */
function names(upper: Fd, lower: Fd | undefined): Dirent[] {
  const own = sortedDirents(upper.fd);
  if (lower === undefined) return own;
  const known = new Set(own.map(({ raw }) => Buffer.from(raw).toString("latin1")));
  const others = sortedDirents(lower.fd).filter(({ raw }) => !known.has(Buffer.from(raw).toString("latin1")));
  return others.length === 0 ? own : [...own, ...others].sort((a, b) => Buffer.compare(a.raw, b.raw));
}

/** A parent of one layer is looked at as it is on disk, whiteouts that hide nothing included. */
function statBelow(lower: Fd, raw: Uint8Array): FileStat | undefined {
  const stat = tryStatx(lower.fd, raw, AT_SYMLINK_NOFOLLOW);
  return stat === undefined || isWhiteout(stat) ? undefined : stat;
}

function hasOpaqueMark(fd: number): boolean {
  return fgetxattr(fd, OPAQUE)?.toString("latin1") === "y";
}

/**
 * Whether a file differs from the parent's, by what docker looks at: type, permissions, owner, device; of what is no directory size and
 * modification time; capabilities.
 */
function isChanged({ upper, lower, raw, stat }: Pair, below: FileStat): boolean {
  if (stat.mode !== below.mode || stat.uid !== below.uid || stat.gid !== below.gid) return true;
  const type = stat.mode & S_IFMT;
  if (type !== S_IFDIR && (stat.rdev !== below.rdev || stat.size !== below.size || !isSameTime(stat.mtimeNs, below.mtimeNs))) return true;
  if (type === S_IFLNK || lower === undefined) return false;
  const [own, other] = [xattr(upper, raw, CAPABILITY), xattr(lower, raw, CAPABILITY)];
  return !(own ?? Buffer.alloc(0)).equals(other ?? Buffer.alloc(0));
}

/** Times are the same, too, when one of them was cut to the second, as in an archive. */
function isSameTime(a: bigint, b: bigint): boolean {
  return a === b || (a / SECOND_NS === b / SECOND_NS && (a % SECOND_NS === 0n || b % SECOND_NS === 0n));
}

/** The path that reaches `raw` in an open directory and nothing else. */
function pathIn(dir: Fd, raw: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${procFdPath(dir.fd)}/`), raw]);
}

function xattr(dir: Fd, raw: Uint8Array, name: string): Buffer | undefined {
  try {
    return lgetxattr(pathIn(dir, raw), name);
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP", "ENOENT")) return undefined;
    throw error;
  }
}

function haveSameXattrs({ upper, lower, raw }: Pair): boolean {
  if (lower === undefined) return true;
  const [own, other] = [xattrNames(upper, raw), xattrNames(lower, raw)];
  return own.length === other.length && own.every((name) => sameValue(xattr(upper, raw, name), xattr(lower, raw, name)));
}

function sameValue(a: Buffer | undefined, b: Buffer | undefined): boolean {
  return a !== undefined && b !== undefined && a.equals(b);
}

function xattrNames(dir: Fd, raw: Uint8Array): string[] {
  try {
    return llistxattr(pathIn(dir, raw)).filter((name) => !isOverlayXattr(name));
  } catch (error) {
    if (isErrno(error, "EOPNOTSUPP", "ENOENT")) return [];
    throw error;
  }
}
