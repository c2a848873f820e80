import { readFileSync } from "node:fs";
import { DhowError, errnoCode } from "../../lib/mod.ts";

/** Where a host keeps its users; another root than `/` is for tests and images. */
export interface AccountFiles {
  readonly passwd: string;
  readonly group: string;
  readonly subuid: string;
  readonly subgid: string;
  /** Ask getent(1) for what the files don't have: users of a directory service. */
  readonly asksGetent: boolean;
}

export const HOST_ACCOUNTS: AccountFiles = {
  passwd: "/etc/passwd",
  group: "/etc/group",
  subuid: "/etc/subuid",
  subgid: "/etc/subgid",
  asksGetent: true,
};

/** A user or a group. */
export interface Account {
  readonly name: string;
  readonly id: number;
}

const UNKNOWN_KEY = 2;

function readOptional(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errnoCode(error) === "ENOENT") return "";
    throw error;
  }
}

function find(text: string, key: string | number): Account | undefined {
  for (const line of text.split("\n")) {
    const [name = "", , id = ""] = line.trim().split(":");
    if (/^\d+$/.test(id) && (typeof key === "number" ? Number(id) === key : name === key)) return { name, id: Number(id) };
  }
  return undefined;
}

function askGetent(database: string, key: string | number): string {
  const path = Bun.which("getent");
  if (path === null) throw new DhowError("notFound", "unable to find getent command");
  const { stdout, exitCode } = Bun.spawnSync([path, database, String(key)], { stdin: "ignore", stderr: "ignore" });
  if (exitCode === 0) return stdout.toString();
  const why =
    exitCode === UNKNOWN_KEY ? `unable to find entry ${JSON.stringify(String(key))} in ${database} database` : `exit status ${exitCode}`;
  throw new DhowError("notFound", `getent ${why}`);
}

function lookUp(files: AccountFiles, database: "passwd" | "group", key: string | number): Account {
  const found = find(readOptional(files[database]), key) ?? (files.asksGetent ? find(askGetent(database, key), key) : undefined);
  if (found !== undefined) return found;
  throw new DhowError("notFound", `no matching entries in ${database} file`);
}

/** A user by name or number, from the file and then from getent(1). @throws notFound in dockerd's words */
export const lookUpUser = (files: AccountFiles, key: string | number): Account => lookUp(files, "passwd", key);

/** A group by name or number. @throws notFound in dockerd's words */
export const lookUpGroup = (files: AccountFiles, key: string | number): Account => lookUp(files, "group", key);
