import { readFileSync } from "node:fs";
import { DhowError, errnoCode } from "../lib/mod.ts";
import {
  fstat,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NONBLOCK,
  O_PATH,
  O_RDONLY,
  open,
  openat2,
  RESOLVE_IN_ROOT,
  RESOLVE_NO_MAGICLINKS,
  S_IFMT,
  S_IFREG,
} from "../linux/mod.ts";

/** Who a process runs as. */
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups, the primary one first, as Docker sets them. */
  readonly additionalGids: readonly number[];
  /** From the passwd file; `/` when the user isn't in it. */
  readonly home: string;
}

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

const MAX_ID = 2147483647;
const MAX_FILE_BYTES = 16 * 1024 * 1024;
const RANGE = `uids and gids must be in range 0-${MAX_ID}`;

function fields(text: string): string[][] {
  const lines: string[][] = [];
  for (const line of text.split("\n")) {
    const trimmed = line.trim();
    if (trimmed !== "") lines.push(trimmed.split(":"));
  }
  return lines;
}

// As docker's parser: what is no number reads as 0.
function idOf(text: string | undefined): number {
  return text !== undefined && /^[+-]?\d+$/.test(text) ? Number(text) : 0;
}

function parsePasswd(text: string): PasswdEntry[] {
  return fields(text).map((f) => ({ name: f[0] ?? "", uid: idOf(f[2]), gid: idOf(f[3]), home: f[5] ?? "" }));
}

function parseGroup(text: string): GroupEntry[] {
  return fields(text).map((f) => ({ name: f[0] ?? "", gid: idOf(f[2]), members: f[3] ? f[3].split(",") : [] }));
}

/** Reads a small file of the container without leaving `rootfs`: links resolve inside it. Undefined when there is no such file. */
function readInside(rootfs: string, path: string): string | undefined {
  try {
    using root = open(rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
    using file = openat2(root.fd, path, { flags: O_RDONLY | O_CLOEXEC | O_NONBLOCK, resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS });
    // An image may have put a device or an endless sparse file there.
    const stat = fstat(file.fd);
    if ((stat.mode & S_IFMT) !== S_IFREG || stat.size > MAX_FILE_BYTES) return undefined;
    return readFileSync(file.fd, "utf8");
  } catch (error) {
    if (errnoCode(error) !== undefined) return undefined;
    throw error;
  }
}

function numeric(text: string): number | undefined {
  return /^[+-]?\d+$/.test(text) ? Number(text) : undefined;
}

function checkRange(id: number): number {
  if (id < 0 || id > MAX_ID) throw new DhowError("invalid", RANGE);
  return id;
}

function addedGroups(names: readonly string[], groups: readonly GroupEntry[]): number[] {
  return names.map((name) => {
    const found = groups.find((g) => g.name === name || String(g.gid) === name);
    if (found) return found.gid;
    const gid = numeric(name);
    if (gid === undefined) throw new DhowError("invalid", `Unable to find group ${name}: no matching entries in group file`);
    return checkRange(gid);
  });
}

/**
 * Resolves `user[:group]` (names or numbers, empty = root) and `--group-add` values against the passwd and group files of `rootfs`.
 * A number needs no entry; a named user without `:group` gets the groups that list it.
 * @throws invalid in docker's words: unknown name, id out of range
 */
export function resolveUser(rootfs: string, spec: string, groupAdd: readonly string[] = []): ResolvedUser {
  const [userArg = "", groupArg = ""] = spec.split(":");
  const uidArg = numeric(userArg);
  const gidArg = numeric(groupArg);
  const passwd = parsePasswd(readInside(rootfs, "etc/passwd") ?? "");
  const match = passwd.find((u) => (userArg === "" ? u.uid === 0 : uidArg !== undefined ? u.uid === uidArg : u.name === userArg));
  let uid = 0;
  let gid = 0;
  if (match) {
    uid = match.uid;
    gid = match.gid;
  } else if (userArg !== "") {
    if (uidArg === undefined) throw new DhowError("invalid", `unable to find user ${userArg}: no matching entries in passwd file`);
    uid = checkRange(uidArg);
  }
  let supplementary: number[] = [];
  const needsGroups = groupArg !== "" || match !== undefined || groupAdd.length > 0;
  const groups = needsGroups ? parseGroup(readInside(rootfs, "etc/group") ?? "") : [];
  if (groupArg !== "") {
    const group = groups.find((g) => (gidArg !== undefined ? g.gid === gidArg : g.name === groupArg));
    if (group) gid = group.gid;
    else if (gidArg === undefined) throw new DhowError("invalid", `unable to find group ${groupArg}: no matching entries in group file`);
    else gid = checkRange(gidArg);
  } else if (match) {
    supplementary = groups.filter((g) => g.members.includes(match.name)).map((g) => g.gid);
  }
  const additionalGids = [...new Set([gid, ...supplementary, ...addedGroups(groupAdd, groups)])];
  return { uid, gid, additionalGids, home: match?.home || "/" };
}
