import { DhowError } from "../lib/mod.ts";

/** A path or name as the kernel takes it: text (UTF-8) or the raw bytes of a name that is no UTF-8. */
export type PathArg = string | Uint8Array;

/** The NUL-terminated bytes of `s`. @throws invalid when `s` itself holds a NUL: the kernel would see a shorter name. */
export function cstr(s: PathArg): Uint8Array {
  if (typeof s === "string") {
    if (s.includes("\0")) throw new DhowError("invalid", `refuse a name with a NUL byte in it: ${JSON.stringify(s)}`);
    return Buffer.from(`${s}\0`);
  }
  if (s.includes(0))
    throw new DhowError("invalid", `refuse a name with a NUL byte in it: ${JSON.stringify(Buffer.from(s).toString("latin1"))}`);
  const bytes = new Uint8Array(s.length + 1);
  bytes.set(s);
  return bytes;
}

/** The text before the first NUL of `bytes` from `offset`, at most `length` bytes long. */
export function fromCstr(bytes: Uint8Array, offset = 0, length = bytes.length - offset): string {
  const end = bytes.subarray(offset, offset + length).indexOf(0);
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, end < 0 ? length : end).toString();
}
