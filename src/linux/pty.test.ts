import { expect, test } from "bun:test";
import { openSync } from "node:fs";
import { close, read, setNonblocking, write } from "./fd.ts";
import { getWinsize, isatty, makeRaw, openPty, setWinsize } from "./pty.ts";
import { thrownCode } from "./test-support.ts";

function exchange(from: number, to: number, text: string): string {
  write(from, Buffer.from(text));
  const buffer = Buffer.alloc(100);
  return buffer.toString("utf8", 0, Math.max(0, read(to, buffer)));
}

test("openPty() gives a terminal whose ends hear each other", () => {
  using pty = openPty();
  expect(isatty(pty.slave.fd)).toBe(true);
  expect(isatty(pty.master.fd)).toBe(true);
  setNonblocking(pty.master.fd);
  expect(exchange(pty.slave.fd, pty.master.fd, "out\n")).toBe("out\r\n");
  expect(exchange(pty.master.fd, pty.slave.fd, "in\r")).toBe("in\n");
  expect(read(pty.master.fd, Buffer.alloc(100))).toBe(4);
  expect(read(pty.master.fd, Buffer.alloc(100))).toBe(-1);
});

test("slavePath names the slave", () => {
  using pty = openPty();
  const fd = openSync(pty.slavePath, "r+");
  setWinsize(pty.master.fd, 10, 20);
  expect(getWinsize(fd)).toEqual({ rows: 10, cols: 20 });
  close(fd);
});

test("makeRaw() stops echo and line editing until it is undone", () => {
  using pty = openPty();
  setNonblocking(pty.master.fd);
  const restore = makeRaw(pty.slave.fd);
  expect(exchange(pty.master.fd, pty.slave.fd, "\x03x\r")).toBe("\x03x\r");
  expect(read(pty.master.fd, Buffer.alloc(10))).toBe(-1);
  expect(exchange(pty.slave.fd, pty.master.fd, "a\n")).toBe("a\n");
  restore();
  expect(exchange(pty.slave.fd, pty.master.fd, "a\n")).toBe("a\r\n");
});

test("what is no terminal is refused", () => {
  const fd = openSync("/dev/null", "r");
  expect(isatty(fd)).toBe(false);
  expect(thrownCode(() => setWinsize(fd, 1, 1))).toBe("ENOTTY");
  expect(thrownCode(() => makeRaw(fd))).toBe("ENOTTY");
  close(fd);
});
