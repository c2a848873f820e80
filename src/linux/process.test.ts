import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  capabilities,
  getrlimit,
  isInBoundingSet,
  madviseTrim,
  prlimit,
  setChildSubreaper,
  setParentDeathSignal,
  trimmableAreas,
  umask,
  unameInfo,
} from "./process.ts";
import { thrownCode } from "./test-support.ts";

test("capabilities() and the bounding set agree", () => {
  const { bounding, effective } = capabilities();
  for (let n = 0; n < 41; n++) expect(isInBoundingSet(n)).toBe(((bounding >> BigInt(n)) & 1n) === 1n);
  expect(effective & ~capabilities().permitted).toBe(0n);
  expect(isInBoundingSet(63)).toBe(false);
  expect(thrownCode(() => capabilities(2 ** 30))).toBe("ENOENT");
});

test("prlimit() lowers another process's limit and tells the one before", async () => {
  const child = Bun.spawn(["cat"], { stdin: "pipe" });
  const before = getrlimit("nofile", child.pid);
  expect(prlimit(child.pid, "nofile", { soft: 64n, hard: before.hard })).toEqual(before);
  expect(getrlimit("nofile", child.pid).soft).toBe(64n);
  expect(readFileSync(`/proc/${child.pid}/limits`, "utf8")).toMatch(/Max open files +64 /);
  child.stdin.end();
  await child.exited;
  expect(thrownCode(() => getrlimit("nofile", child.pid))).toBe("ESRCH");
});

test("prctl switches are taken", () => {
  setChildSubreaper(true);
  setChildSubreaper(false);
  setParentDeathSignal(0);
  expect(thrownCode(() => setParentDeathSignal(1000))).toBe("EINVAL");
});

test("unameInfo() and umask()", () => {
  expect(unameInfo().sysname).toBe("Linux");
  expect(unameInfo().release).toBe(readFileSync("/proc/sys/kernel/osrelease", "utf8").trim());
  const before = umask(0o27);
  expect(umask(before)).toBe(0o27);
});

test("madviseTrim() gives back code pages of a process that works on afterwards", async () => {
  const script = `
    import { madviseTrim } from ${JSON.stringify(join(import.meta.dir, "mod.ts"))};
    const rss = () => Number(/^Rss: +(\\d+)/m.exec(require("fs").readFileSync("/proc/self/smaps_rollup", "latin1"))[1]) * 1024;
    const before = rss(), trimmed = madviseTrim(), after = rss();
    const sum = [..."abc"].map((c) => new RegExp(c).exec("xabc").index).join() + JSON.stringify({ a: [1.5] }) + require("zlib").gzipSync("x").length;
    console.log(JSON.stringify({ before, trimmed, after, sum }));`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  const result = JSON.parse(await new Response(child.stdout).text());
  expect(await child.exited).toBe(0);
  expect(result.sum).toBe('1,2,3{"a":[1.5]}21');
  expect(result.trimmed).toBeGreaterThan(4 << 20);
  expect(result.after).toBeLessThan(result.before - (4 << 20));
});

test("trimmableAreas() takes clean file mappings only", () => {
  const area = (header: string, anonymousKiB: number): string =>
    `${header}\nSize: 8 kB\nRss:                   8 kB\nAnonymous:             ${anonymousKiB} kB\nSwap:                  0 kB\nLocked:                0 kB\nVmFlags: rd\n`;
  const smaps = [
    area("55f8e4281000-55f8e4283000 r--p 00000000 fe:00 247026                     /usr/bin/a b", 0),
    area("55f8e4283000-55f8e4288000 r-xp 00002000 fe:00 247026                     /usr/bin/a b", 0),
    area("55f8e4288000-55f8e428a000 r--p 00007000 fe:00 247026                     /usr/bin/relocated", 4),
    area("55f8e428a000-55f8e428b000 rw-p 00008000 fe:00 247026                     /usr/bin/writable", 0),
    area("55f8e428b000-55f8e428c000 r--s 00008000 fe:00 247026                     /usr/bin/shared", 0),
    area("7ffc5a9d5000-7ffc5a9d7000 r-xp 00000000 00:00 0                          [vdso]", 0),
    area("7f0000000000-7f0000001000 r-xp 00000000 00:00 0 ", 0),
  ].join("");
  expect(trimmableAreas(smaps)).toEqual([
    { start: 0x55f8e4281000, length: 0x2000, rssBytes: 8192 },
    { start: 0x55f8e4283000, length: 0x5000, rssBytes: 8192 },
  ]);
  expect(madviseTrim).toBeFunction();
});

test("execve() keeps the descriptors that are not close-on-exec, the arguments and the environment", async () => {
  const script = `import { execve } from ${JSON.stringify(join(import.meta.dir, "process.ts"))};
    execve("/bin/sh", ["sh", "-c", 'cat <&3; echo "$0 $1 $WORD $NONE."', "ä", "b c"], { WORD: "ö", NONE: undefined });`;
  const child = Bun.spawn([process.execPath, "-e", script], {
    stdio: ["ignore", "pipe", "inherit", Bun.file(import.meta.path)],
    env: { PATH: process.env["PATH"] ?? "" },
  });
  const text = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  expect(text).toEndWith("ä b c ö .\n");
  expect(text.length).toBeGreaterThan(1000);
});
