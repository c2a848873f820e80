import { DhowError, type ErrorKind } from "../lib/mod.ts";
import { ERRNO_TABLE } from "./errno-table.ts";
import { errno } from "./libc.ts";

export { errno };

const NAMES: readonly (string | undefined)[] = Object.entries(ERRNO_TABLE).reduce<(string | undefined)[]>((all, [name, [n]]) => {
  all[n] = name;
  return all;
}, []);

const KINDS: Readonly<Record<string, ErrorKind>> = {
  ENOENT: "notFound",
  ESRCH: "notFound",
  ENODATA: "notFound",
  EPERM: "forbidden",
  EACCES: "forbidden",
  EROFS: "forbidden",
  EEXIST: "conflict",
  EBUSY: "conflict",
  ENOTEMPTY: "conflict",
  ETXTBSY: "conflict",
  EADDRINUSE: "conflict",
  ENOTDIR: "invalid",
  EISDIR: "invalid",
  ELOOP: "invalid",
  ENAMETOOLONG: "invalid",
  EXDEV: "invalid",
  ENOSYS: "unsupported",
  EOPNOTSUPP: "unsupported",
  EAFNOSUPPORT: "unsupported",
  EPROTONOSUPPORT: "unsupported",
  EAGAIN: "unavailable",
  EMFILE: "unavailable",
  ENFILE: "unavailable",
  ENOMEM: "unavailable",
  ENOSPC: "unavailable",
  EDQUOT: "unavailable",
};

/** What names the object of a failed call: a path, as text or as raw bytes, or a number. */
export type SysArg = string | Uint8Array | number | null | undefined;

function argText(arg: SysArg): string {
  if (arg === undefined || arg === null || arg === "") return "";
  return arg instanceof Uint8Array ? Buffer.from(arg.buffer, arg.byteOffset, arg.byteLength).toString() : String(arg);
}

/** The name of an errno, `ENOENT` for 2; `E9999` for a number that Linux does not have. */
export function errnoName(code: number): string {
  return NAMES[code] ?? `E${code}`;
}

/** The number of an errno's name; 0 for a name that Linux does not have. */
export function errnoNumber(name: string): number {
  return ERRNO_TABLE[name]?.[0] ?? 0;
}

/** The text of an errno, `no such file or directory` for 2. */
export function strerror(code: number): string {
  return ERRNO_TABLE[errnoName(code)]?.[1] ?? `errno ${code}`;
}

/** A failed system call; its errno fixes its kind. The message reads `mount /dev/x /mnt: no such file or directory`. */
export class SysError extends Error {
  override readonly name = "SysError";
  /** The call's name, `umount2`. */
  readonly call: string;
  readonly errno: number;
  /** The errno's name, `ENOENT`. */
  readonly code: string;
  readonly kind: ErrorKind;
  /** The call's object, usually a path; empty when it has none. */
  readonly arg: string;

  constructor(call: string, errno: number, ...args: readonly SysArg[]) {
    const arg = args.map(argText).filter(Boolean).join(" ");
    super(`${call}${arg === "" ? "" : ` ${arg}`}: ${strerror(errno)}`);
    this.call = call;
    this.errno = errno;
    this.code = errnoName(errno);
    this.kind = KINDS[this.code] ?? "internal";
    this.arg = arg;
  }
}

/**
 * Returns `result` of a libc call, or throws what errno says when it is negative.
 * Call it around the call itself, so that reading errno is the first act after it.
 * @throws {SysError}
 */
export function check(result: number | bigint, call: string, arg?: SysArg, arg2?: SysArg): number {
  if (result < 0) throw new SysError(call, errno(), arg, arg2);
  return Number(result);
}

/** Whether `error` is a failed system call (from here or from `node:fs`) with one of the given errno names. */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
}

/** Makes the error of a system call outside of `check`, for results that carry a negated errno (netlink, AIO). */
export function sysError(call: string, code: number, arg?: SysArg): SysError {
  return new SysError(call, Math.abs(code), arg);
}

/** Refuses what the kernel would misread. @throws invalid */
export function invalid(message: string): never {
  throw new DhowError("invalid", message);
}
