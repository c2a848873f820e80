import { closeSync, openSync } from "node:fs";
import { DhowError, errorMessage, type Logger } from "../../lib/mod.ts";
import type { OciIdMapping } from "../../spec/oci-runtime/mod.ts";
import { type Account, type AccountFiles, HOST_ACCOUNTS, lookUpGroup, lookUpUser } from "./accounts.ts";
import type { IdMappings } from "./id-mapping.ts";
import { firstFreeId, type IdRange, mapInOrder, readSubordinateIds } from "./subordinate-ids.ts";

const DEFAULT = "default";
/** The user that dockerd makes for `--userns-remap=default`. */
const DEFAULT_USER = "dockremap";
const FIRST_ID = 100_000;
const RANGE_IDS = 65_536;
const MAX_NUMBER = 2 ** 31;

/** Makes the user `name`, or gives it ids, by the host's own tools. */
export interface AccountTools {
  addUser(name: string): void;
  addRanges(name: string, uids: string, gids: string): void;
}

function attempt<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw new DhowError("invalid", `${what}: ${errorMessage(error)}`, { cause: error });
  }
}

const numberOf = (text: string): number | undefined => {
  const number = Number(text);
  return /^[+-]?\d+$/.test(text) && Math.abs(number) < MAX_NUMBER ? number : undefined;
};

/** The user that `--userns-remap` names. Groups are looked up only to be refused when they are not there, as dockerd does. */
function remappedUser(text: string, files: AccountFiles, tools: AccountTools): Account {
  const [first = "", group, ...more] = text.split(":");
  if (more.length > 0) throw new DhowError("invalid", `Invalid user/group specification in --userns-remap: ${JSON.stringify(text)}`);
  const uid = numberOf(first);
  const user =
    uid === undefined ? namedUser(first, files, tools) : attempt(`Uid ${uid} has no entry in /etc/passwd`, () => lookUpUser(files, uid));
  if (group === undefined) {
    if (uid === undefined) attempt(`Error during gid lookup for ${JSON.stringify(user.name)}`, () => lookUpGroup(files, user.name));
    else attempt(`Gid ${uid} has no entry in /etc/group`, () => lookUpGroup(files, uid));
    return user;
  }
  const gid = numberOf(group);
  if (gid === undefined) attempt(`Error during groupname lookup for ${JSON.stringify(group)}`, () => lookUpGroup(files, group));
  else attempt(`Gid ${gid} has no entry in /etc/passwd`, () => lookUpGroup(files, gid));
  return user;
}

function namedUser(name: string, files: AccountFiles, tools: AccountTools): Account {
  if (name !== DEFAULT) return attempt(`Error during uid lookup for ${JSON.stringify(name)}`, () => lookUpUser(files, name));
  return attempt(`Error during ${JSON.stringify(DEFAULT_USER)} user creation`, () => {
    const user = tryLookUpUser(files, DEFAULT_USER) ?? made(DEFAULT_USER, files, tools);
    // a daemon may have died between the two
    if (ownRanges(user, files.subuid).length === 0 && ownRanges(user, files.subgid).length === 0) giveRanges(DEFAULT_USER, files, tools);
    return user;
  });
}

function tryLookUpUser(files: AccountFiles, name: string): Account | undefined {
  try {
    return lookUpUser(files, name);
  } catch {
    return undefined;
  }
}

function made(name: string, files: AccountFiles, tools: AccountTools): Account {
  tools.addUser(name);
  return lookUpUser(files, name);
}

function giveRanges(name: string, files: AccountFiles, tools: AccountTools): void {
  const next = (path: string): string => {
    const start = firstFreeId(readSubordinateIds(path), RANGE_IDS, FIRST_ID);
    return `${start}-${start + RANGE_IDS - 1}`;
  };
  // usermod makes neither of the files
  for (const path of [files.subuid, files.subgid]) closeSync(openSync(path, "a", 0o644));
  tools.addRanges(name, next(files.subuid), next(files.subgid));
}

/** A user's own ranges in a file, in its order: those by its number, else those by its name. */
function ownRanges(user: Account, path: string): IdRange[] {
  const all = readSubordinateIds(path);
  const byNumber = all.filter((range) => range.owner === String(user.id));
  return byNumber.length > 0 ? byNumber : all.filter((range) => range.owner === user.name);
}

/** A user's own ranges, mapped from 0 on. */
function ownMappings(user: Account, path: string, what: string): OciIdMapping[] {
  const own = ownRanges(user, path);
  if (own.length === 0) throw new DhowError("invalid", `no ${what} ranges found for user ${JSON.stringify(user.name)}`);
  return mapInOrder(own);
}

/**
 * The mapping that `--userns-remap` asks for: a user's ranges in /etc/subuid and /etc/subgid. `default` makes the user dockremap
 * when it isn't there, and gives it 65536 ids. Undefined for root, which can't be mapped to itself.
 * @throws invalid in dockerd's words
 * @see moby v28 daemon/daemon_unix.go, parseRemappedRoot and setupRemappedRoot
 */
export function remappedRoot(
  text: string,
  log: Logger,
  files: AccountFiles = HOST_ACCOUNTS,
  tools: AccountTools = hostTools,
): IdMappings | undefined {
  const user = remappedUser(text, files, tools);
  if (user.name === "root") {
    log.warn("User namespaces: root cannot be remapped with itself; user namespaces are OFF");
    return undefined;
  }
  return attempt("Can't create ID mappings", () => ({
    uids: ownMappings(user, files.subuid, "subuid"),
    gids: ownMappings(user, files.subgid, "subgid"),
  }));
}

function run(line: readonly [string, ...string[]]): void {
  const path = Bun.which(line[0]);
  if (path === null) throw new DhowError("unavailable", `${line[0]} is not installed`);
  const { exitCode, stderr } = Bun.spawnSync([path, ...line.slice(1)], { stdin: "ignore", stdout: "ignore" });
  if (exitCode !== 0)
    throw new DhowError("internal", `failed to run ${line.join(" ")}: ${stderr.toString().trim() || `exit status ${exitCode}`}`);
}

/** shadow's tools lock and replace the files, and know of directory services. @param prefix for tests: a directory with an /etc of its own */
export function shadowTools(prefix: readonly string[] = []): AccountTools {
  return {
    addUser: (name) =>
      run([
        "useradd",
        ...prefix,
        "--system",
        "--user-group",
        "--no-create-home",
        "--home-dir",
        "/nonexistent",
        "--shell",
        "/bin/false",
        name,
      ]),
    addRanges: (name, uids, gids) => run(["usermod", ...prefix, "--add-subuids", uids, "--add-subgids", gids, name]),
  };
}

const hostTools = shadowTools();
