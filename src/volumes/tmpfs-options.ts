import { DhowError } from "../lib/mod.ts";
import type { Mount } from "../spec/engine/mod.ts";

/** Mount flags by what they decide: of two with the same meaning the later wins. */
const FLAG_KEYS: Readonly<Record<string, string>> = {
  ro: "ro",
  rw: "ro",
  suid: "suid",
  nosuid: "suid",
  dev: "dev",
  nodev: "dev",
  exec: "exec",
  noexec: "exec",
  sync: "sync",
  async: "sync",
  dirsync: "dirsync",
  remount: "remount",
  mand: "mand",
  nomand: "mand",
  atime: "atime",
  noatime: "atime",
  diratime: "diratime",
  nodiratime: "diratime",
  bind: "bind",
  rbind: "rbind",
  relatime: "relatime",
  norelatime: "relatime",
  strictatime: "strictatime",
  nostrictatime: "strictatime",
  private: "propagation",
  rprivate: "propagation",
  shared: "propagation",
  rshared: "propagation",
  slave: "propagation",
  rslave: "propagation",
  unbindable: "propagation",
  runbindable: "propagation",
};
const DATA_KEYS: ReadonlySet<string> = new Set(["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"]);
const BASE = ["noexec", "nosuid", "nodev", "rprivate"];

/** The options of a tmpfs mount: docker's defaults with the user's over them. @throws invalid `invalid tmpfs option ["x"]` */
export function tmpfsOptions(data: string): string[] {
  const seen = new Set<string>();
  const merged: string[] = [];
  for (const option of [...BASE, ...(data === "" ? [] : data.split(","))].reverse()) {
    if (option === "defaults") continue;
    const [key = "", value] = option.split("=", 2);
    const flag = FLAG_KEYS[option];
    if (flag === undefined && (value === undefined || !DATA_KEYS.has(key))) {
      const parts = value === undefined ? [key] : [key, value];
      throw new DhowError("invalid", `invalid tmpfs option [${parts.map((p) => JSON.stringify(p)).join(" ")}]`);
    }
    const id = flag === undefined ? `${key}=` : flag;
    if (seen.has(id)) continue;
    seen.add(id);
    merged.unshift(option);
  }
  return merged;
}

const UNITS: readonly (readonly [string, number])[] = [
  ["g", 1 << 30],
  ["m", 1 << 20],
  ["k", 1 << 10],
];

function sizeText(bytes: number): string {
  const unit = UNITS.find(([, divisor]) => bytes % divisor === 0);
  return unit ? `${bytes / unit[1]}${unit[0]}` : String(bytes);
}

function extraOptions(options: readonly (readonly string[] | null)[]): string[] {
  return options.map((option) => {
    if (!option || option.length < 1 || option.length > 2) throw new DhowError("invalid", "invalid option array length");
    if (option[0] !== "exec" && option[0] !== "noexec") throw new DhowError("invalid", `invalid option: ${option[0]}`);
    return option.join("=");
  });
}

/** The option text of a `--mount type=tmpfs`. @throws invalid in docker's words */
export function tmpfsMountData(options: Mount["TmpfsOptions"] | null, isReadOnly: boolean): string {
  const parts: string[] = isReadOnly ? ["ro"] : [];
  if (options?.Mode) parts.push(`mode=${options.Mode.toString(8)}`);
  if (options?.SizeBytes) parts.push(`size=${sizeText(options.SizeBytes)}`);
  return [...parts, ...extraOptions(options?.Options ?? [])].join(",");
}
