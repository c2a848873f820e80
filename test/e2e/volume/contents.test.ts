import { afterAll, afterEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { connect } from "../../../src/index.ts";
import { Daemon } from "../daemon.ts";
import { LAUNCHER, volumeCommands } from "./commands.ts";

const daemon = await Daemon.start();
const { dhow, ok, sh, removeAll } = volumeCommands(daemon);
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(removeAll);

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
    // what comes of a hole in one piece with data is written
    expect(await sh(`from-${compress}`, LOOK)).toMatch(new RegExp(`^${LOOKS.replace(/0$/, "\\d{1,2}")}$`));
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

test("the SDK: snapshot, export, import, rename", async () => {
  await using dhow = connect({ host: daemon.host });
  await using data = await dhow.volumes.create({ name: "data" });
  await sh("data", "echo hi > /v/f");
  await using kept = await data.snapshot({ name: "kept", labels: { a: "b" } });
  expect((await kept.inspect()).Labels).toEqual({ a: "b", "dhow.snapshot-of": "data" });
  const made = await dhow.volumes.import("made", await kept.export({ compression: "gzip" }));
  await using renamed = await made.rename("other");
  expect(await sh(renamed.name, "cat /v/f")).toBe("hi");
  expect(renamed.resize("1g")).rejects.toThrow("the volume has no size");
  expect(data.clone("kept")).rejects.toThrow('volume "kept" already exists');
});
