import { afterAll, afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";
import { volumeCommands } from "./commands.ts";

const canGrowMounted =
  ((BigInt(`0x${/^CapEff:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`) >> 24n) & 1n) === 1n;
const daemon = await Daemon.start();
const { dhow, ok, sh, removeAll } = volumeCommands(daemon);
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(removeAll);

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

test("a volume whose directory was lost says so, and has its size again at the next use", async () => {
  await daemon.ok("volume", "create", "-o", "size=8m", "lost");
  rmSync(join(daemon.dataRoot, "volumes/lost"), { recursive: true });
  expect((await dhow("resize", "lost", "4m")).stderr).toContain("resize lost: its directory is gone, with its content; ");
  expect(await sh("lost", "df -k /v | tail -1 | awk '{ print ($2 < 8192) }'")).toBe("1");
  expect(await ok("resize", "lost", "16m")).toBe("lost");
});
