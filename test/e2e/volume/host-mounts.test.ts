import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  MNT_DETACH,
  MS_BIND,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  MS_REMOUNT,
  MS_SHARED,
  mount,
  readMountInfo,
  umount,
} from "../../../src/linux/mod.ts";
import { Daemon, until } from "../daemon.ts";

/** A private mount, as `/` is without systemd: the kernel tells no other namespace of what is mounted below it later. */
const place = mkdtempSync(join(tmpdir(), "dhow-host-mounts-"));
mount(place, place, null, MS_BIND);
mount(null, place, null, MS_PRIVATE);
const daemon = await Daemon.start();
const disk = join(place, "disk");

beforeAll(() => mkdirSync(disk));
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  umount(place, MNT_DETACH);
  rmSync(place, { recursive: true });
});
beforeEach(async () => {
  await daemon.removeContainers();
  while (mountsBelow("self").some((path) => path !== place)) umount(mountsBelow("self").at(-1) ?? "", MNT_DETACH);
  await until("nothing of the last test is mounted", () => mountsBelow(daemon.pid).length === 1);
});

function mountsBelow(pid: number | "self"): string[] {
  return readMountInfo(pid)
    .map(({ mountPoint }) => mountPoint)
    .filter((path) => path === place || path.startsWith(`${place}/`));
}

function mountDisk(at = disk): void {
  mkdirSync(at, { recursive: true });
  mount("late", at, "tmpfs", 0, "size=1m");
  writeFileSync(join(at, "file"), "on the disk\n");
}

const shown = (...options: readonly string[]): Promise<string> => daemon.ok("run", "--rm", ...options, "busybox", "cat", "/x/file");

test("a container sees what was mounted after the daemon's start, and what was mounted in that", async () => {
  mountDisk();
  expect(await shown("-v", `${disk}:/x`)).toBe("on the disk");
  mountDisk(join(disk, "in"));
  expect(await shown("-v", `${disk}/in:/x`)).toBe("on the disk");
  expect(await daemon.ok("run", "--rm", "-v", `${disk}:/x`, "busybox", "cat", "/x/in/file")).toBe("on the disk");
  expect(await shown("--mount", `type=volume,src=late,dst=/x,volume-opt=type=none,volume-opt=o=bind,volume-opt=device=${disk}`)).toBe(
    "on the disk",
  );
  await daemon.ok("volume", "rm", "late");
});

test("a source that is missing is made on the disk, and not below it", async () => {
  mountDisk();
  await daemon.ok("run", "--rm", "-v", `${disk}/made/here:/x`, "busybox", "touch", "/x/f");
  expect(existsSync(join(disk, "made/here/f"))).toBe(true);
  umount(disk);
  expect(readdirSync(disk)).toEqual([]);
});

test("a bind that has to be there is looked for on the disk", async () => {
  mountDisk();
  const mountOption = `type=bind,src=${disk}/file,dst=/x/file`;
  expect(await shown("--mount", mountOption)).toBe("on the disk");
  umount(disk);
  const { stderr } = await daemon.docker("create", "--mount", mountOption, "busybox");
  expect(stderr).toContain("bind source path does not exist");
});

test("files are copied from and to the disk", async () => {
  await daemon.ok("create", "--name", "cc", "-v", `${disk}:/x`, "busybox");
  mountDisk();
  await daemon.ok("cp", "cc:/x/file", join(daemon.dir, "out"));
  expect(readFileSync(join(daemon.dir, "out"), "utf8")).toBe("on the disk\n");
  await daemon.ok("cp", join(daemon.dir, "out"), "cc:/x/in");
  expect(existsSync(join(disk, "in"))).toBe(true);
});

test("what the host unmounts is not kept by the daemon, and stays with the container", async () => {
  mountDisk();
  await daemon.ok("run", "-d", "--name", "cc", "-v", `${disk}:/x`, "busybox", "sleep", "1000");
  expect(mountsBelow(daemon.pid)).toEqual([place, disk]);
  umount(disk);
  await until("the daemon lets go of it", () => mountsBelow(daemon.pid).length === 1);
  expect(await daemon.ok("exec", "cc", "cat", "/x/file")).toBe("on the disk");
});

test("another disk at the same place takes the place of the first", async () => {
  mountDisk();
  expect(await shown("-v", `${disk}:/x`)).toBe("on the disk");
  umount(disk);
  mountDisk();
  writeFileSync(join(disk, "file"), "on another disk\n");
  expect(await shown("-v", `${disk}:/x`)).toBe("on another disk");
  mount("over", disk, "tmpfs");
  writeFileSync(join(disk, "file"), "over it\n");
  expect(await shown("-v", `${disk}:/x`)).toBe("over it");
  umount(disk);
  expect(await shown("-v", `${disk}:/x`)).toBe("on another disk");
});

test("a disk that the host makes read-only is read-only for the next container", async () => {
  mountDisk();
  expect(await shown("-v", `${disk}:/x`)).toBe("on the disk");
  mount(null, disk, null, MS_BIND | MS_REMOUNT | MS_RDONLY);
  const { stderr } = await daemon.docker("run", "--rm", "-v", `${disk}:/x`, "busybox", "touch", "/x/new");
  expect(stderr).toContain("Read-only file system");
});

test("what the host doesn't allow on a disk, a container isn't allowed there", async () => {
  mountDisk();
  mount(null, disk, null, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV | MS_NOEXEC);
  for (const mode of ["", ":ro"]) {
    const shownMount = await daemon.ok("run", "--rm", "-v", `${disk}:/x${mode}`, "busybox", "grep", " /x ", "/proc/self/mountinfo");
    expect(shownMount).toContain(",nosuid,nodev,noexec,");
  }
});

test("what a container mounts in a mount that was shared later reaches the host, once", async () => {
  mountDisk();
  expect(await shown("-v", `${disk}:/x`)).toBe("on the disk");
  const refused = await daemon.docker("run", "--rm", "-v", `${disk}:/x:rshared`, "busybox", "true");
  expect(refused.stderr).toContain(`path ${disk} is mounted on ${disk} but it is not a shared mount`);
  mount(null, disk, null, MS_SHARED);
  mkdirSync(join(disk, "in"));
  const script = "mount -t tmpfs none /x/in && echo from inside >/x/in/file";
  await daemon.ok(
    "run",
    "--rm",
    "--cap-add",
    "SYS_ADMIN",
    "--security-opt",
    "apparmor=unconfined",
    "-v",
    `${disk}:/x:rshared`,
    "busybox",
    "sh",
    "-c",
    script,
  );
  expect(readFileSync(join(disk, "in/file"), "utf8")).toBe("from inside\n");
  expect(mountsBelow("self")).toEqual([place, disk, join(disk, "in")]);
  // what is below a shared mount is its peers' affair: it goes everywhere at once
  umount(join(disk, "in"));
  expect(mountsBelow(daemon.pid)).toEqual([place, disk]);
  mount(null, disk, null, MS_PRIVATE);
  expect(await shown("-v", `${disk}:/x`)).toBe("on the disk");
  expect(mountsBelow("self")).toEqual([place, disk]);
});

test("what was mounted and unmounted while no daemon ran is seen by the next one", async () => {
  const other = join(place, "other");
  mountDisk();
  await daemon.ok("run", "-d", "--name", "cc", "-v", `${disk}:/x`, "busybox", "sleep", "1000");
  await daemon.kill9();
  umount(disk);
  mountDisk(other);
  await daemon.launch();
  expect(mountsBelow(daemon.pid)).toEqual([place, other]);
  expect(await shown("-v", `${other}:/x`)).toBe("on the disk");
  expect(await daemon.ok("exec", "cc", "cat", "/x/file")).toBe("on the disk");
});
