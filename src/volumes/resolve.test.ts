import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { errorMessage, silentLogger } from "../lib/mod.ts";
import { isMountPoint, MNT_DETACH, MS_PRIVATE, MS_SHARED, makeUserNamespaces, mount, umount } from "../linux/mod.ts";
import { Database, VolumesTable, volumeMigrations } from "../metadata/mod.ts";
import type { HostConfig } from "../spec/engine/mod.ts";
import type { OciMount } from "../spec/oci-runtime/mod.ts";
import { type ContainerMount, inspectMounts, type MountPlan, planMounts } from "./plan.ts";
import { type ResolvedMounts, resolveMounts, useVolumes } from "./resolve.ts";
import { noPlugins } from "./test-support.ts";
import { Volumes } from "./volumes.ts";

let root: string;
let db: Database;
let volumes: Volumes;

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/dhow-resolve-`);
  db = Database.open(":memory:", volumeMigrations);
  volumes = new Volumes({
    table: new VolumesTable(db),
    root: `${root}/volumes`,
    log: silentLogger,
    references: () => [],
    plugins: noPlugins,
    pluginTimeoutMs: 1000,
  });
});
afterEach(async () => {
  db[Symbol.dispose]();
  // what was removed is being deleted meanwhile
  for (; existsSync(root); await Bun.sleep(5)) rmSync(root, { recursive: true, force: true });
});

function plan(
  hostConfig: HostConfig,
  declared: readonly string[] = [],
  others: Readonly<Record<string, readonly ContainerMount[]>> = {},
): Promise<MountPlan> {
  return planMounts({ hostConfig, declared, volumes, mountsOf: (name) => others[name] ?? [] });
}

/** Without what the host's directory for temporary files may not allow. */
function asked(mount: OciMount | undefined): readonly string[] {
  return (mount?.options ?? []).filter((option) => !["nosuid", "nodev", "noexec"].includes(option));
}

async function resolve(mounts: readonly ContainerMount[], tmpfs: Readonly<Record<string, string>> = {}): Promise<ResolvedMounts> {
  const paths = await useVolumes(mounts, "c1", volumes);
  return resolveMounts({
    containerId: "c1",
    mounts,
    tmpfs,
    paths,
    mountImage: (key) => key,
    recursiveReadOnly: true,
    scratch: `${root}/scratch`,
  });
}

describe("planMounts()", () => {
  test("lets binds win over volumes-from, and both over declared volumes", async () => {
    const first = await plan({ Binds: ["one:/a", "two:/b"] });
    const { mounts, created } = await plan(
      { Binds: ["three:/a"], VolumesFrom: ["first:ro"], Tmpfs: { "/t": "" } },
      ["/a", "/b", "/t/", "/d"],
      {
        first: first.mounts,
      },
    );
    const shown = Object.fromEntries(mounts.map((m) => [m.destination, [m.isAnonymous ? "anonymous" : m.volume, m.isReadOnly]]));
    expect(shown).toEqual({ "/a": ["three", false], "/b": ["two", true], "/d": ["anonymous", false] });
    expect(created.length).toBe(2);
  });

  test("refuses two mounts at one place and leaves no volume behind", async () => {
    const refused = async (config: HostConfig): Promise<string> => {
      try {
        await plan(config);
        return "";
      } catch (error) {
        return errorMessage(error);
      }
    };
    expect(await refused({ Binds: ["one:/a", "two:/a/"] })).toBe("Duplicate mount point: /a");
    expect(await refused({ Binds: ["one:/a"], Tmpfs: { "/a": "" } })).toBe("Duplicate mount point: /a");
    expect(await refused({ Binds: ["one:/a"], Mounts: [{ Type: "tmpfs", Target: "/a" }] })).toBe("Duplicate mount point: /a");
    expect(volumes.known()).toEqual([]);
  });

  test("is shown by inspect as docker shows it", async () => {
    const { mounts } = await plan({ Binds: ["/srv:/s:ro", "vol:/v"], Mounts: [{ Type: "tmpfs", Target: "/t" }] }, ["/d"]);
    const [bind, named, tmpfs, declared] = inspectMounts(mounts);
    expect(bind).toEqual({ Type: "bind", Source: "/srv", Destination: "/s", Mode: "ro", RW: false, Propagation: "rprivate" });
    expect(named).toEqual({
      Type: "volume",
      Name: "vol",
      Source: `${root}/volumes/vol/_data`,
      Destination: "/v",
      Driver: "local",
      Mode: "z",
      RW: true,
      Propagation: "",
    });
    expect(tmpfs).toEqual({ Type: "tmpfs", Source: "", Destination: "/t", Mode: "", RW: true, Propagation: "" });
    expect(declared).toMatchObject({ Type: "volume", Destination: "/d", Mode: "", RW: true });
  });

  test("takes its new volumes back on undo()", async () => {
    await volumes.create({ name: "old" });
    await (await plan({ Binds: ["old:/o", "new:/n"] }, ["/d"])).undo();
    expect(volumes.known().map((v) => v.name)).toEqual(["old"]);
  });
});

describe("resolveMounts()", () => {
  test("sorts by depth and lets HostConfig.Tmpfs win", async () => {
    const { mounts } = await resolve(
      (await plan({ Binds: [`${root}/s:/a/b/c`, "vol:/a:ro", "hidden:/t/x"] })).mounts.filter((m) => m.volume !== "none"),
      { "/t/x": "size=1m" },
    );
    expect(mounts.map((m) => m.destination)).toEqual(["/a", "/t/x", "/a/b/c"]);
    expect(mounts[0]).toMatchObject({ destination: "/a", type: "bind", source: `${root}/volumes/vol/_data` });
    expect(asked(mounts[0])).toEqual(["rbind", "ro", "rprivate"]);
    expect(mounts[1]?.options).toEqual(["noexec", "nosuid", "nodev", "rprivate", "size=1m"]);
  });

  test("makes a missing source of -v, refuses one of --mount", async () => {
    await resolve((await plan({ Binds: [`${root}/made/here:/x:ro`] })).mounts);
    expect(existsSync(`${root}/made/here`)).toBe(true);
    const { mounts } = await plan({ Mounts: [{ Type: "bind", Source: root, Target: "/x" }] });
    const vanished = mounts.map((m) => ({ ...m, source: `${root}/nothing` }));
    expect(resolve(vanished)).rejects.toThrow(`invalid mount config for type "bind": bind source path does not exist: ${root}/nothing`);
  });

  test("makes binds read-only with everything below, unless told otherwise", async () => {
    const options = async (mount: object): Promise<readonly string[] | undefined> => {
      const { mounts } = await plan({ Mounts: [{ Type: "bind", Source: root, Target: "/x", ...mount }] });
      const resolved = await resolve(mounts);
      resolved.dispose();
      return asked(resolved.mounts[0]);
    };
    expect(await options({ ReadOnly: true })).toEqual(["rbind", "rro", "rprivate"]);
    expect(await options({ ReadOnly: true, BindOptions: { ReadOnlyNonRecursive: true } })).toEqual(["rbind", "ro", "rprivate"]);
    expect(await options({ BindOptions: { NonRecursive: true, Propagation: "private" } })).toEqual(["bind", "private"]);
  });

  test.skipIf(process.getuid?.() !== 0)("asks for a shared source mount where a bind is to be shared (root only)", async () => {
    const source = `${root}/tree`;
    mkdirSync(source);
    mount("tmpfs", source, "tmpfs");
    try {
      mount(null, source, null, MS_PRIVATE);
      const { mounts } = await plan({ Binds: [`${source}:/x:rshared`] });
      await expect(resolve(mounts)).rejects.toThrow(`path ${source} is mounted on ${source} but it is not a shared mount`);
      await expect(plan({ Binds: [`${source}:/x:rslave`] }).then((p) => resolve(p.mounts))).rejects.toThrow(
        "but it is not a shared or slave mount",
      );
      mount(null, source, null, MS_SHARED);
      expect(asked((await resolve(mounts)).mounts[0])).toEqual(["rbind", "rshared"]);
    } finally {
      umount(source, MNT_DETACH);
    }
  });

  test.skipIf(process.getuid?.() !== 0)("pins a volume's subpath and never follows it out of the volume (root only)", async () => {
    const { volume } = await volumes.create({ name: "vol" });
    mkdirSync(`${volume.path}/sub`);
    writeFileSync(`${volume.path}/sub/f`, "inside");
    symlinkSync("/etc", `${volume.path}/out`);
    const at = (Subpath: string): Promise<MountPlan> =>
      plan({ Mounts: [{ Type: "volume", Source: "vol", Target: "/x", VolumeOptions: { Subpath } }] });
    const resolved = await resolve((await at("sub")).mounts);
    const source = resolved.mounts[0]?.source ?? "";
    try {
      expect(isMountPoint(source)).toBe(true);
      expect(readFileSync(`${source}/f`, "utf8")).toBe("inside");
    } finally {
      resolved.dispose();
    }
    expect(existsSync(source)).toBe(false);
    await expect(at("out").then((p) => resolve(p.mounts))).rejects.toThrow(
      `path concatenation escapes the base directory, base: ${volume.path}, subpath: out`,
    );
    await expect(at("missing").then((p) => resolve(p.mounts))).rejects.toThrow(
      `cannot access path ${volume.path}/missing: no such file or directory`,
    );
  });
});

describe.skipIf(process.getuid?.() !== 0)("resolveMounts() for a user namespace (skipped: needs root)", () => {
  test("shows volumes in its ids, makes bind sources its root's, and leaves binds alone", async () => {
    using namespaces = await makeUserNamespaces({ uidMap: "0 100000 65536\n", gidMap: "0 200000 65536\n" });
    const view = { userns: namespaces.userns, root: { uid: 100000, gid: 200000 } };
    const { mounts } = await plan({
      Binds: ["data:/data", `${root}/new/deep:/new`],
      Mounts: [{ Type: "volume", Source: "data", Target: "/sub", VolumeOptions: { Subpath: "dir" } }],
    });
    mkdirSync(`${root}/volumes/data/_data/dir`);
    writeFileSync(`${root}/volumes/data/_data/dir/file`, "");
    chownSync(`${root}/volumes/data/_data/dir/file`, 33, 34);
    const scratch = `${root}/scratch`;
    const paths = await useVolumes(mounts, "c1", volumes);
    const resolved = resolveMounts({
      containerId: "c1",
      mounts,
      tmpfs: {},
      paths,
      mountImage: (key) => key,
      recursiveReadOnly: true,
      scratch,
      view,
    });
    const at = (destination: string): string => resolved.mounts.find((m) => m.destination === destination)?.source ?? "";
    expect(statSync(`${at("/data")}/dir/file`)).toMatchObject({ uid: 100033, gid: 200034 });
    expect(statSync(`${at("/sub")}/file`)).toMatchObject({ uid: 100033, gid: 200034 });
    expect(at("/new")).toBe(`${root}/new/deep`);
    for (const path of [`${root}/new`, `${root}/new/deep`]) expect(statSync(path)).toMatchObject({ uid: 100000, gid: 200000 });
    resolved.dispose();
    resolved.dispose();
    expect(existsSync(scratch)).toBe(false);
    expect(statSync(`${root}/volumes/data/_data/dir/file`)).toMatchObject({ uid: 33, gid: 34 });
  });
});
