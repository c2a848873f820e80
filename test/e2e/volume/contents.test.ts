import { afterAll, afterEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, type Finished, until } from "../daemon.ts";

const LAUNCHER = join(import.meta.dir, "../../../dhow");
const canGrowMounted =
  ((BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`) >> 24n) & 1n) === 1n;
const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(async () => {
  await daemon.removeContainers();
  const names = (await daemon.ok("volume", "ls", "-q")).split("\n").filter(Boolean);
  if (names.length > 0) await daemon.ok("volume", "rm", ...names);
});

const dhow = (...args: readonly string[]): Promise<Finished> => daemon.dockerWith({ cli: LAUNCHER }, "-H", daemon.host, "volume", ...args);
async function ok(...args: readonly string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await dhow(...args);
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  return stdout.trim();
}
const sh = (volume: string, script: string): Promise<string> =>
  daemon.ok("run", "--rm", "-v", `${volume}:/v`, "busybox", "sh", "-c", script);
const FILL =
  "echo one > /v/a; ln /v/a /v/b; ln -s a /v/c; mkdir -m 1770 /v/d; chown 5:6 /v/d; dd if=/dev/zero of=/v/hole bs=1 seek=10M count=0 2>/dev/null";
const LOOK = "cd /v; cat a b c; stat -c '%h' a; stat -c '%a %u:%g' d; stat -c '%s %b' hole";
const LOOKS = "one\none\none\n2\n1770 5:6\n10485760 0";

test("clone and snapshot keep what files are, and containers go on afterwards", async () => {
  await sh("data", FILL);
  const running = await daemon.ok("run", "-d", "-v", "data:/v", "busybox", "sleep", "1000");
  expect(await ok("clone", "--label", "a=b", "data", "copy")).toBe("copy");
  expect(await sh("copy", LOOK)).toBe(LOOKS);
  expect(await daemon.ok("inspect", "-f", "{{.State.Status}}", running)).toBe("running");
  const snapshot = await ok("snapshot", "data");
  expect(snapshot).toMatch(/^data-\d{8}-\d{6}$/);
  expect(await daemon.ok("volume", "inspect", "-f", "{{json .Labels}}", snapshot)).toBe('{"dhow.snapshot-of":"data"}');
  expect((await dhow("clone", "data", "copy")).stderr).toContain('volume "copy" already exists');
  expect((await dhow("clone", "nosuch", "new")).stderr).toContain("get nosuch: no such volume");
  expect((await dhow("clone", "data", "../x")).stderr).toContain("includes invalid characters");
});

test("export and import, through files, compressed and not", async () => {
  await sh("data", FILL);
  for (const compress of ["none", "gzip", "zstd"]) {
    const file = join(daemon.dir, `v.${compress}`);
    await ok("export", "--compress", compress, "-o", file, "data");
    expect(await ok("import", `from-${compress}`, file)).toBe(`from-${compress}`);
    // the first kilobytes of a hole may be written
    expect(await sh(`from-${compress}`, LOOK)).toMatch(new RegExp(`^${LOOKS.replace(/0$/, "[08]")}$`));
  }
  expect((await dhow("import", "data", join(daemon.dir, "v.none"))).stderr).toContain('volume "data" already exists');
  const bad = await daemon.dockerWith(
    { cli: LAUNCHER, stdin: "no tar at all".repeat(100) },
    "-H",
    daemon.host,
    "volume",
    "import",
    "bad",
    "-",
  );
  expect(bad.exitCode).toBe(1);
  expect(await daemon.ok("volume", "ls", "-q", "--filter", "name=bad")).toBe("");
  expect(readdirSync(join(daemon.dataRoot, "volumes/.making"))).toEqual([]);
});

test("rename: refused while a container has it, and kept over a restart", async () => {
  await sh("data", "echo hi > /v/f");
  const user = await daemon.ok("create", "-v", "data:/v", "busybox");
  expect((await dhow("rename", "data", "other")).stderr).toContain(`rename data: volume is in use - [${user}]`);
  await daemon.ok("rm", user);
  await sh("taken", "true");
  expect((await dhow("rename", "data", "taken")).stderr).toContain("already exists");
  expect(await ok("rename", "data", "other")).toBe("other");
  await daemon.kill9();
  await daemon.restart();
  expect(await sh("other", "cat /v/f")).toBe("hi");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("other\ntaken");
});

test("a size is a limit, can be changed, and goes with its loop device", async () => {
  await daemon.ok("volume", "create", "-o", "size=8m", "small");
  const fill = "dd if=/dev/zero of=/v/f bs=1M count=20 2>&1 || true; ls -A /v";
  expect(await sh("small", fill)).toMatch(/No space left on device[\s\S]*f$/);
  expect((await dhow("resize", "small", "4m")).stderr).toContain("resize small: ");
  const running = await daemon.ok("run", "-d", "-v", "small:/v", "busybox", "sleep", "1000");
  expect((await dhow("resize", "small", "6m")).stderr).toContain("can't be made smaller while it is in use");
  // the kernel lets no other grow a file system that is mounted
  if (canGrowMounted) expect(await ok("resize", "small", "64m")).toBe("small");
  else
    expect((await dhow("resize", "small", "64m")).stderr).toContain("resize small: growing it while it is in use needs CAP_SYS_RESOURCE");
  await daemon.ok("rm", "-f", running);
  const path = join(daemon.dataRoot, "volumes/small/_data");
  await until("it is unmounted", () => readdirSync(path).length === 0);
  if (!canGrowMounted) expect(await ok("resize", "small", "64m")).toBe("small");
  await sh("small", "rm -f /v/f; dd if=/dev/zero of=/v/f bs=1M count=40 2>/dev/null");
  await until("it is unmounted", () => readdirSync(path).length === 0);
  expect(await sh("small", "rm /v/f; touch /v/kept")).toBe("");
  await until("it is unmounted", () => readdirSync(path).length === 0);
  expect(await ok("resize", "small", "8m")).toBe("small");
  expect(await sh("small", "ls -A /v")).toBe("kept");
  expect(await ok("clone", "small", "twin")).toBe("twin");
  expect(await daemon.ok("volume", "inspect", "-f", "{{.Options.size}}", "twin")).toBe("8m");
  await sh("plain", "true");
  expect((await dhow("resize", "plain", "1g")).stderr).toContain("the volume has no size");
  for (const [size, words] of [
    ["x", "invalid size: 'x'"],
    ["1k", "invalid size: '1k': a volume has 2m at least"],
  ] as const) {
    expect((await daemon.docker("volume", "create", "-o", `size=${size}`, "bad")).stderr).toContain(`create bad: ${words}`);
  }
});

test("kill -9 in the middle of a clone leaves no volume, and its source as it was", async () => {
  await sh("data", "for i in $(seq 100); do dd if=/dev/urandom of=/v/$i bs=512k count=1 2>/dev/null; done");
  const running = await daemon.ok("run", "-d", "-v", "data:/v", "busybox", "sleep", "1000");
  const lost = dhow("clone", "data", "copy");
  await until("it is copying", () => existsSync(join(daemon.dataRoot, "volumes/.making/copy/_data/1")));
  await daemon.kill9();
  await lost;
  await daemon.restart();
  expect(await daemon.ok("volume", "ls", "-q")).toBe("data");
  await until("the draft is gone", () => readdirSync(join(daemon.dataRoot, "volumes/.making")).length === 0);
  expect(await daemon.ok("inspect", "-f", "{{.State.Status}}", running)).toBe("running");
  expect(await sh("data", "ls /v | wc -l")).toBe("100");
  expect(readFileSync("/proc/self/mountinfo", "utf8")).not.toContain(join(daemon.dataRoot, "volumes/.making"));
});
