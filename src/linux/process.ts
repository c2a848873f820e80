import { ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { cstr, fromCstr } from "./cstr.ts";
import { check } from "./errno.ts";
import { libc } from "./libc.ts";

const PR_SET_PDEATHSIG = 1;
const PR_CAPBSET_READ = 23;
const PR_SET_CHILD_SUBREAPER = 36;
const MADV_DONTNEED = 4;
const UTSNAME_FIELD = 65;

/** Makes orphaned descendants children of this process, which then has to reap them. @see PR_SET_CHILD_SUBREAPER(2const) @throws {SysError} */
export function setChildSubreaper(on: boolean): void {
  check(libc.symbols.prctl(PR_SET_CHILD_SUBREAPER, on ? 1 : 0, 0, 0, 0), "prctl PR_SET_CHILD_SUBREAPER");
}

/** Asks for `signo` when the thread that started this process ends; 0 asks for nothing. @see PR_SET_PDEATHSIG(2const) @throws {SysError} */
export function setParentDeathSignal(signo: number): void {
  check(libc.symbols.prctl(PR_SET_PDEATHSIG, signo, 0, 0, 0), "prctl PR_SET_PDEATHSIG");
}

/** Whether capability number `capability` is in the bounding set; false for one that the kernel does not have. */
export function isInBoundingSet(capability: number): boolean {
  return libc.symbols.prctl(PR_CAPBSET_READ, capability, 0, 0, 0) === 1;
}

/** Capability sets as bit masks: bit N stands for capability number N of linux/capability.h. */
export interface Capabilities {
  readonly effective: bigint;
  readonly permitted: bigint;
  readonly inheritable: bigint;
  readonly bounding: bigint;
  readonly ambient: bigint;
}

/** The capability sets of a process. @throws a `node:fs` error ENOENT when there is no such process */
export function capabilities(pid: number | "self" = "self"): Capabilities {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const mask = (name: string): bigint => BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)$`, "m").exec(status)?.[1] ?? "0"}`);
  return {
    effective: mask("CapEff"),
    permitted: mask("CapPrm"),
    inheritable: mask("CapInh"),
    bounding: mask("CapBnd"),
    ambient: mask("CapAmb"),
  };
}

/** Resource numbers of getrlimit(2) by the names that `docker run --ulimit` takes. */
export const RLIMITS = {
  cpu: 0,
  fsize: 1,
  data: 2,
  stack: 3,
  core: 4,
  rss: 5,
  nproc: 6,
  nofile: 7,
  memlock: 8,
  as: 9,
  locks: 10,
  sigpending: 11,
  msgqueue: 12,
  nice: 13,
  rtprio: 14,
  rttime: 15,
} as const;

export type RlimitName = keyof typeof RLIMITS;

/** No limit, in the place of a number. */
export const RLIM_INFINITY = 0xffffffffffffffffn;

export interface Rlimit {
  readonly soft: bigint;
  readonly hard: bigint;
}

/** A process's resource limit. @throws {SysError} ESRCH, EPERM */
export function getrlimit(name: RlimitName, pid = 0): Rlimit {
  return prlimit(pid, name);
}

/** Sets a process's resource limit when `next` is given (pid 0 is this process) and returns the one before. @throws {SysError} EPERM to raise a hard limit without CAP_SYS_RESOURCE */
export function prlimit(pid: number, name: RlimitName, next?: Rlimit): Rlimit {
  const before = new BigUint64Array(2);
  const wanted = next === undefined ? null : new BigUint64Array([next.soft, next.hard]);
  check(libc.symbols.prlimit64(pid, RLIMITS[name], wanted, before), "prlimit", name);
  return { soft: before[0] ?? 0n, hard: before[1] ?? 0n };
}

/**
 * Gives back the pages of this process's own file-backed, read-only and executable mappings (code and constants); what is still needed
 * is read from the page cache again at its next use. For an idle process: its memory then counts only what it uses. Returns the bytes given back.
 */
export function madviseTrim(): number {
  let trimmed = 0;
  for (const area of trimmableAreas(readFileSync("/proc/self/smaps", "latin1"))) {
    if (libc.symbols.madvise(area.start, area.length, MADV_DONTNEED) === 0) trimmed += area.rssBytes;
  }
  return trimmed;
}

interface Area {
  readonly start: number;
  readonly length: number;
  readonly rssBytes: number;
}

const AREA = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p [0-9a-f]+ [0-9a-f:]+ ([1-9]\d*) +(\/.*)$/;
const HEADER = /^[0-9a-f]+-[0-9a-f]+ /m;

/**
 * The parts of a smaps text that hold nothing but clean copies of a file.
 * A mapping with anonymous pages is left out though it is read-only now: relocated constants (RELRO) exist nowhere but in memory.
 */
export function trimmableAreas(smaps: string): Area[] {
  const areas: Area[] = [];
  for (const block of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
    if (!HEADER.test(block)) continue;
    const match = AREA.exec(block.slice(0, block.indexOf("\n")));
    const kib = (field: string): number => Number(new RegExp(`^${field}: +(\\d+) kB$`, "m").exec(block)?.[1] ?? Number.NaN);
    if (match === null || match[4]?.endsWith(" (deleted)")) continue;
    if (kib("Anonymous") !== 0 || kib("Swap") !== 0 || kib("Locked") !== 0 || !(kib("Rss") > 0)) continue;
    const start = Number.parseInt(match[1] ?? "", 16);
    areas.push({ start, length: Number.parseInt(match[2] ?? "", 16) - start, rssBytes: kib("Rss") * 1024 });
  }
  return areas;
}

export interface UnameInfo {
  readonly sysname: string;
  readonly nodename: string;
  /** The kernel's version, `6.18.0`. */
  readonly release: string;
  readonly version: string;
  /** `x86_64`, `aarch64` */
  readonly machine: string;
}

/** What uname(2) says of the kernel and the host. */
export function unameInfo(): UnameInfo {
  const names = new Uint8Array(6 * UTSNAME_FIELD);
  check(libc.symbols.uname(names), "uname");
  const field = (index: number): string => fromCstr(names, index * UTSNAME_FIELD, UTSNAME_FIELD);
  return { sysname: field(0), nodename: field(1), release: field(2), version: field(3), machine: field(4) };
}

/** Sets the mask of permission bits that new files don't get, and returns the one before. */
export function umask(mask: number): number {
  return libc.symbols.umask(mask & 0o777);
}

/**
 * Replaces the program of this process; every other thread ends. Descriptors that are not close-on-exec stay open: `process.execve` of
 * Bun closes all but the standard ones, also those that a service manager has handed over.
 * @see execve(2) @throws {SysError}
 */
export function execve(path: string, argv: readonly string[], env: Readonly<Record<string, string | undefined>>): never {
  const entries = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const [words, variables] = [pointers(argv), pointers(entries)];
  check(libc.symbols.execve(cstr(path), words.addresses, variables.addresses), "execve", path);
  throw new Error("execve returned");
}

/** A NULL-terminated array of C strings; `text` must be kept as long as `addresses` is in use. */
function pointers(strings: readonly string[]): { readonly addresses: BigUint64Array; readonly text: Uint8Array } {
  const parts = strings.map(cstr);
  const text = Buffer.concat([...parts, Buffer.alloc(1)]);
  const addresses = new BigUint64Array(parts.length + 1);
  let at = BigInt(ptr(text));
  for (const [index, part] of parts.entries()) {
    addresses[index] = at;
    at += BigInt(part.length);
  }
  return { addresses, text };
}
