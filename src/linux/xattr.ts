import { cstr, type PathArg } from "./cstr.ts";
import { check, errno, SysError } from "./errno.ts";
import { libc } from "./libc.ts";

export const XATTR_CREATE = 1;
export const XATTR_REPLACE = 2;

const ERANGE = 34;
const ENODATA = 61;
const FIRST_SIZE = 1024;

/** The path that names an open file, O_PATH ones too, for calls that take no descriptor; only the calls that follow links take it. */
export function procFdPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

const scratch = Buffer.allocUnsafeSlow(FIRST_SIZE);

/** Calls with a growing buffer until the value fits; undefined when there is no such attribute. */
function grow(call: (buffer: Uint8Array) => number | bigint, name: string, arg: PathArg | number): Buffer | undefined {
  for (let size = FIRST_SIZE; ; size *= 8) {
    const buffer = size === FIRST_SIZE ? scratch : Buffer.allocUnsafeSlow(size);
    const length = call(buffer);
    if (length >= 0) return Buffer.from(buffer.subarray(0, Number(length)));
    const code = errno();
    if (code === ENODATA) return undefined;
    // no value is over 64 KiB, no list is in practice
    if (code !== ERANGE || size > 1 << 20) throw new SysError(name, code, arg);
  }
}

function names(list: Buffer | undefined): string[] {
  return list === undefined || list.length === 0 ? [] : list.toString("utf8", 0, list.length - 1).split("\0");
}

/** Sets an extended attribute of `path` itself, no link followed; flags XATTR_CREATE, XATTR_REPLACE. @throws {SysError} EOPNOTSUPP, EPERM */
export function lsetxattr(path: PathArg, name: string, value: Uint8Array, flags = 0): void {
  const key = cstr(name);
  check(libc.symbols.lsetxattr(cstr(path), key, value, value.byteLength, flags), "lsetxattr", path, name);
}

/** The value of an extended attribute of `path` itself; undefined when it has none of that name. @throws {SysError} EOPNOTSUPP, ENOENT */
export function lgetxattr(path: PathArg, name: string): Buffer | undefined {
  const file = cstr(path);
  const key = cstr(name);
  return grow((buffer) => libc.symbols.lgetxattr(file, key, buffer, buffer.byteLength), "lgetxattr", path);
}

/** The names of `path`'s own extended attributes. @throws {SysError} EOPNOTSUPP, ENOENT */
export function llistxattr(path: PathArg): string[] {
  const file = cstr(path);
  return names(grow((buffer) => libc.symbols.llistxattr(file, buffer, buffer.byteLength), "llistxattr", path));
}

/** Removes an extended attribute of `path` itself. @throws {SysError} ENODATA when it has none of that name */
export function lremovexattr(path: PathArg, name: string): void {
  const key = cstr(name);
  check(libc.symbols.lremovexattr(cstr(path), key), "lremovexattr", path, name);
}

/** Sets an extended attribute of an open file; of an O_PATH one too, as long as it is no symbolic link. @throws {SysError} */
export function fsetxattr(fd: number, name: string, value: Uint8Array, flags = 0): void {
  const key = cstr(name);
  check(libc.symbols.setxattr(cstr(procFdPath(fd)), key, value, value.byteLength, flags), "fsetxattr", fd, name);
}

/** The value of an extended attribute of an open file, O_PATH ones too; undefined when it has none of that name. @throws {SysError} */
export function fgetxattr(fd: number, name: string): Buffer | undefined {
  const file = cstr(procFdPath(fd));
  const key = cstr(name);
  return grow((buffer) => libc.symbols.getxattr(file, key, buffer, buffer.byteLength), "fgetxattr", fd);
}

/** The names of an open file's extended attributes, O_PATH ones too. @throws {SysError} */
export function flistxattr(fd: number): string[] {
  const length = Number(libc.symbols.flistxattr(fd, scratch, scratch.byteLength));
  if (length >= 0) return names(Buffer.from(scratch.subarray(0, length)));
  // EBADF: an O_PATH one can't be asked itself
  const file = cstr(procFdPath(fd));
  return names(grow((buffer) => libc.symbols.listxattr(file, buffer, buffer.byteLength), "flistxattr", fd));
}

/** Removes an extended attribute of an open file, O_PATH ones too. @throws {SysError} ENODATA */
export function fremovexattr(fd: number, name: string): void {
  const key = cstr(name);
  check(libc.symbols.removexattr(cstr(procFdPath(fd)), key), "fremovexattr", fd, name);
}
