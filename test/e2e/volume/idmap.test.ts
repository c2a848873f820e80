import { afterAll, afterEach, expect, test } from "bun:test";
import { chownSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon } from "../daemon.ts";

const LAUNCHER = join(import.meta.dir, "../../../dhow");
const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

function folder(name: string, uid: number): string {
  const dir = join(daemon.dir, name);
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "theirs"), "");
  for (const path of [dir, join(dir, "theirs")]) chownSync(path, uid, uid);
  return dir;
}

test("-v SRC:DST:idmap makes the owner of the source the container's user", async () => {
  const dir = folder("match", 1234);
  const script = "stat -c '%u:%g' /d/theirs; touch /d/mine; stat -c %u /d/mine";
  expect(await daemon.ok("run", "--rm", "-v", `${dir}:/d:idmap`, "busybox", "sh", "-c", script)).toBe("0:0\n0");
  expect(statSync(join(dir, "mine"))).toMatchObject({ uid: 1234, gid: 1234 });
  expect(
    await daemon.ok("run", "--rm", "-u", "77:88", "-v", `${dir}:/d:ro,idmap=match-user`, "busybox", "stat", "-c", "%u:%g", "/d/theirs"),
  ).toBe("77:88");
});

test("ranges, the label, and dhow's own --mount", async () => {
  const dir = folder("ranges", 2000);
  const look = ["busybox", "stat", "-c", "%u:%g", "/d/theirs"] as const;
  expect(await daemon.ok("run", "--rm", "-v", `${dir}:/d:idmap=uids=2000-5-1#gids=2000-6-1`, ...look)).toBe("5:6");
  const label = "dhow.mount.idmap=/d=uids=2000-7-1";
  expect(await daemon.ok("run", "--rm", "--label", label, "--mount", `type=bind,src=${dir},dst=/d`, ...look)).toBe("7:2000");
  const own = await daemon.dockerWith(
    { cli: LAUNCHER },
    "-H",
    daemon.host,
    "run",
    "--rm",
    "--mount",
    `type=bind,src=${dir},dst=/d,idmap=match-user`,
    ...look,
  );
  expect(own).toMatchObject({ stdout: "0:0\n", stderr: "" });
  const { stderr } = await daemon.docker("run", "--rm", "-v", `${dir}:/d:idmap=nonsense`, ...look);
  expect(stderr).toContain('invalid idmap "nonsense"');
  expect((await daemon.docker("run", "--rm", "--label", label, "busybox", "true")).stderr).toContain("no bind mount at /d");
});

test("a file system that can't show other ids is named", async () => {
  const { stderr, exitCode } = await daemon.docker("run", "--rm", "-v", "/proc/sys:/d:idmap", "busybox", "true");
  expect(exitCode).toBe(125);
  expect(stderr).toContain("idmap of /proc/sys: its file system (proc), or one that is mounted below it, can't show other ids");
});
