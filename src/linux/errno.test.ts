import { expect, test } from "bun:test";
import { errorKind, isKind } from "../lib/mod.ts";
import { check, errnoName, errnoNumber, isErrno, SysError, strerror, sysError } from "./errno.ts";
import { libc } from "./libc.ts";

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error("nothing was thrown");
}

test("check() returns a result that is not negative", () => {
  expect(check(0, "x")).toBe(0);
  expect(check(7n, "x")).toBe(7);
});

test("check() throws what errno says, with call and argument", () => {
  const error = thrown(() => check(libc.symbols.close(-1), "close", -1));
  if (!(error instanceof SysError)) throw error;
  expect(error.message).toBe("close -1: bad file descriptor");
  expect([error.call, error.errno, error.code, error.arg]).toEqual(["close", 9, "EBADF", "-1"]);
  expect(errorKind(error)).toBe("internal");
});

test("SysError: errno fixes the kind", () => {
  const kinds = ["ENOENT", "EEXIST", "EPERM", "ENOSYS", "ENOSPC", "EIO"].map((name) => new SysError("x", errnoNumber(name)).kind);
  expect(kinds).toEqual(["notFound", "conflict", "forbidden", "unsupported", "unavailable", "internal"]);
  expect(isKind(new SysError("mount", 16, "/a"), "conflict")).toBe(true);
});

test("SysError takes raw bytes and several arguments", () => {
  expect(new SysError("rename", 18, "/a", Buffer.from("/b")).message).toBe("rename /a /b: invalid cross-device link");
  expect(new SysError("unshare", 22).message).toBe("unshare: invalid argument");
});

test("names, numbers and texts of errno", () => {
  expect(errnoName(11)).toBe("EAGAIN");
  expect(errnoNumber("EOPNOTSUPP")).toBe(95);
  expect(errnoNumber("ENOSUCH")).toBe(0);
  expect(errnoName(4000)).toBe("E4000");
  expect(strerror(4000)).toBe("errno 4000");
  expect(strerror(5)).toBe("input/output error");
});

test("sysError() takes a negated errno as netlink gives it", () => {
  expect(sysError("netlink", -17, "br0").message).toBe("netlink br0: file exists");
  expect(isErrno(sysError("netlink", -17), "EPERM", "EEXIST")).toBe(true);
});
