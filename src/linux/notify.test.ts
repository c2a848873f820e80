import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { write } from "./fd.ts";
import { drainInotify, eventfd, IN_MODIFY, inotify, inotifyAddWatch, readEventfd } from "./notify.ts";

test("readEventfd() returns what was added since the last look", () => {
  using fd = eventfd();
  expect(readEventfd(fd.fd)).toBe(0);
  const one = new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]);
  write(fd.fd, one);
  write(fd.fd, one);
  expect(readEventfd(fd.fd)).toBe(2);
  expect(readEventfd(fd.fd)).toBe(0);
});

test("drainInotify() says that a watched file was written", () => {
  const directory = mkdtempSync(`${tmpdir()}/dhow-inotify-`);
  try {
    writeFileSync(`${directory}/f`, "");
    using fd = inotify();
    inotifyAddWatch(fd.fd, `${directory}/f`, IN_MODIFY);
    expect(drainInotify(fd.fd)).toBe(0);
    writeFileSync(`${directory}/f`, "x");
    expect(drainInotify(fd.fd) & IN_MODIFY).toBe(IN_MODIFY);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
