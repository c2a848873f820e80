import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { O_CREAT, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, open } from "./at.ts";
import { read, write } from "./fd.ts";
import { fionread, getPipeSize, mkfifo, SPLICE_F_NONBLOCK, setPipeSize, splice, tee } from "./fifo.ts";
import { S_IFIFO, S_IFMT, statx } from "./stat.ts";
import { temporaryDirectory, thrownCode } from "./test-support.ts";

function pipe(path: string) {
  mkfifo(path);
  return open(path, O_RDWR | O_NONBLOCK);
}

test("mkfifo() makes a FIFO that holds what is written", () => {
  using dir = temporaryDirectory();
  using fifo = pipe(`${dir.path}/p`);
  expect(statx(-100, `${dir.path}/p`).mode & S_IFMT).toBe(S_IFIFO);
  expect(statx(-100, `${dir.path}/p`).mode & 0o777).toBe(0o600);
  write(fifo.fd, Buffer.from("hello"));
  expect(fionread(fifo.fd)).toBe(5);
  const buffer = Buffer.alloc(10);
  expect(read(fifo.fd, buffer)).toBe(5);
  expect(read(fifo.fd, buffer)).toBe(-1);
  expect(thrownCode(() => mkfifo(`${dir.path}/p`))).toBe("EEXIST");
});

test("setPipeSize() rounds up, and the pipe takes that much", () => {
  using dir = temporaryDirectory();
  using fifo = pipe(`${dir.path}/p`);
  expect(setPipeSize(fifo.fd, 200_000)).toBe(262_144);
  expect(getPipeSize(fifo.fd)).toBe(262_144);
  expect(write(fifo.fd, Buffer.alloc(300_000))).toBe(262_144);
  expect(write(fifo.fd, Buffer.alloc(1))).toBe(-1);
  expect(thrownCode(() => setPipeSize(fifo.fd, 4096))).toBe("EBUSY");
});

test("splice() moves from a pipe into a file, at an offset or at the file's own", () => {
  using dir = temporaryDirectory();
  using fifo = pipe(`${dir.path}/p`);
  using file = open(`${dir.path}/f`, O_CREAT | O_WRONLY);
  write(fifo.fd, Buffer.from("abcdef"));
  expect(splice(fifo.fd, file.fd, 3, 3, SPLICE_F_NONBLOCK)).toBe(3);
  expect(splice(fifo.fd, file.fd, null, 100, SPLICE_F_NONBLOCK)).toBe(3);
  expect(splice(fifo.fd, file.fd, null, 100, SPLICE_F_NONBLOCK)).toBe(-1);
  expect(readFileSync(`${dir.path}/f`, "utf8")).toBe("defabc");
});

test("splice() says 0 when the last writer is gone", () => {
  using dir = temporaryDirectory();
  mkfifo(`${dir.path}/p`);
  using reader = open(`${dir.path}/p`, O_RDONLY | O_NONBLOCK);
  open(`${dir.path}/p`, O_WRONLY).close();
  using file = open(`${dir.path}/f`, O_CREAT | O_WRONLY);
  expect(splice(reader.fd, file.fd, null, 100)).toBe(0);
});

test("tee() copies and leaves the input in place", () => {
  using dir = temporaryDirectory();
  using a = pipe(`${dir.path}/a`);
  using b = pipe(`${dir.path}/b`);
  expect(tee(a.fd, b.fd, 10, SPLICE_F_NONBLOCK)).toBe(-1);
  write(a.fd, Buffer.from("twice"));
  expect(tee(a.fd, b.fd, 10, SPLICE_F_NONBLOCK)).toBe(5);
  expect([fionread(a.fd), fionread(b.fd)]).toEqual([5, 5]);
});
