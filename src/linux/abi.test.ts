import { CString, dlopen, FFIType, type Pointer, ptr, read } from "bun:ffi";
import { expect, test } from "bun:test";
import { isErrno } from "./errno.ts";
import { errno, libc } from "./libc.ts";

// bun:ffi changed its integer conversions between versions: what the wrappers count on is pinned here.
const { i32, u32, i64, u64, i64_fast, u64_fast } = FFIType;
const library = <A extends readonly FFIType[], R extends FFIType>(args: A, returns: R) =>
  dlopen("libc.so.6", { labs: { args, returns } }).symbols.labs;

test("ffi: i32 arguments and results keep their sign", () => {
  const { symbols } = dlopen("libc.so.6", { abs: { args: [i32], returns: i32 }, close: { args: [i32], returns: i32 } });
  expect(symbols.abs(-5)).toBe(5);
  expect(symbols.close(-1)).toBe(-1);
});

test("ffi: u32 takes values over 2^31 and gives them back unsigned", () => {
  const { symbols } = dlopen("libc.so.6", { htonl: { args: [u32], returns: u32 } });
  expect(symbols.htonl(0xff)).toBe(0xff000000);
  expect(symbols.htonl(0xffffffff)).toBe(0xffffffff);
});

test("ffi: i64_fast gives a number while it fits a double exactly, i64 always a bigint", () => {
  expect(library([i64_fast], i64_fast)(-5)).toBe(5);
  expect(library([i64_fast], i64_fast)(-(2 ** 40))).toBe(2 ** 40);
  expect(library([i64_fast], i64_fast)(-5n)).toBe(5);
  expect(library([i64], i64)(-5n)).toBe(5n);
  expect(library([i64], i64)(-5)).toBe(5n);
  expect(BigInt(library([i64_fast], i64_fast)(-(2n ** 60n) - 1n))).toBe(2n ** 60n + 1n);
});

test("ffi: u64_fast and u64 take numbers over 2^32 and bigints", () => {
  expect(library([u64_fast], i64_fast)(0x1_0000_0001)).toBe(0x1_0000_0001);
  expect(library([u64], u64)(0x7fff_ffff_f000)).toBe(0x7fff_ffff_f000n);
  expect(library([u64], u64)(0x7fff_ffff_f000n)).toBe(0x7fff_ffff_f000n);
});

test("ffi: a typed array is passed as its first byte, also one that is a part of another", () => {
  const { symbols } = dlopen("libc.so.6", { strlen: { args: [FFIType.ptr], returns: u64_fast } });
  const bytes = Buffer.from("hello\0");
  expect(symbols.strlen(bytes)).toBe(5);
  expect(symbols.strlen(bytes.subarray(2))).toBe(3);
});

test("ffi: the address of a typed array stays good while it lives", () => {
  const words = new BigUint64Array([1n, 2n]);
  const address = ptr(words);
  Bun.gc(true);
  expect(read.u64(address as Pointer, 8)).toBe(2n);
  expect(new CString(ptr(Buffer.from("x\0"))).toString()).toBe("x");
});

test("errno() survives allocation and garbage collection after the call", () => {
  expect(libc.symbols.close(-1)).toBe(-1);
  const garbage = Array.from({ length: 1000 }, (_, i) => ({ i, text: `${i}` }));
  Bun.gc(true);
  expect(errno()).toBe(9);
  expect(garbage.length).toBe(1000);
});

test("syscall shapes agree with the wrappers", () => {
  expect(Number(libc.syscall.ints(process.arch === "arm64" ? 172 : 39, 0, 0, 0, 0, 0))).toBe(process.pid);
  expect(isErrno(new Error("x"), "EBADF")).toBe(false);
});
