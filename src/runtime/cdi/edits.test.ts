import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { mkfifo } from "../../linux/mod.ts";
import type { OciDevice, OciSpec } from "../../spec/oci-runtime/mod.ts";
import { buildSpec } from "../spec/mod.ts";
import { FACTS, specInput } from "../spec/test-support.ts";
import { type CdiDeviceNode, type CdiMount, type ContainerEdits, NO_EDITS } from "./document.ts";
import { applyEdits } from "./edits.ts";

const root = mkdtempSync(`${tmpdir()}/dhow-cdi-edits-`);
afterAll(() => rmSync(root, { recursive: true }));

const PLAIN = buildSpec(specInput({}, FACTS)).spec;
const NODE: CdiDeviceNode = {
  path: "/dev/x",
  hostPath: "/dev/null",
  type: "",
  major: 0,
  minor: 0,
  fileMode: undefined,
  permissions: "",
  uid: undefined,
  gid: undefined,
};
const apply = (edits: Partial<ContainerEdits>, spec: OciSpec = PLAIN): OciSpec => applyEdits(spec, { ...NO_EDITS, ...edits });
const deviceOf = (node: Partial<CdiDeviceNode>, spec: OciSpec = PLAIN): OciDevice | undefined =>
  apply({ deviceNodes: [{ ...NODE, ...node }] }, spec).linux.devices?.[0];

test("applyEdits() changes nothing without edits", () => {
  expect(apply({})).toEqual(PLAIN);
});

test("applyEdits() replaces variables in their place", () => {
  const { env } = apply({ env: ["NEW=1", "PATH=/opt", "NEW=2"] }).process;
  expect(env).toEqual(["PATH=/opt", "NEW=2"]);
});

test("applyEdits() completes devices by the host's, and opens them in the cgroup", () => {
  const { linux } = apply({ deviceNodes: [NODE, { ...NODE, path: "/dev/zero", hostPath: "", permissions: "r" }] });
  expect(linux.devices).toEqual([
    { path: "/dev/x", type: "c", major: 1, minor: 3, fileMode: 0o666 },
    { path: "/dev/zero", type: "c", major: 1, minor: 5, fileMode: 0o666 },
  ]);
  expect(linux.resources.devices).toEqual([
    ...(PLAIN.linux.resources.devices ?? []),
    { allow: true, type: "c", major: 1, minor: 3, access: "rwm" },
    { allow: true, type: "c", major: 1, minor: 5, access: "r" },
  ]);
});

test("applyEdits() takes devices as they are described, also ones that the host doesn't have", () => {
  const all = { hostPath: "/dev/not-here", type: "b", major: 7, minor: 9, fileMode: 0o600, uid: 5, gid: 6 };
  expect(deviceOf(all)).toEqual({ path: "/dev/x", type: "b", major: 7, minor: 9, fileMode: 0o600, uid: 5, gid: 6 });
  expect(deviceOf({ type: "c", major: 9, minor: 1 })).toEqual({ path: "/dev/x", type: "c", major: 9, minor: 1, fileMode: 0o666 });
  const user = { ...PLAIN, process: { ...PLAIN.process, user: { uid: 10, gid: 20 } } };
  expect(deviceOf({}, user)).toMatchObject({ uid: 10, gid: 20 });
  expect(deviceOf({ uid: 0, gid: 0 }, user)).toMatchObject({ uid: 0, gid: 0 });
  mkfifo(`${root}/fifo`, 0o640);
  const fifo = apply({ deviceNodes: [{ ...NODE, hostPath: `${root}/fifo` }] }).linux;
  expect(fifo.devices).toEqual([{ path: "/dev/x", type: "p", major: 0, minor: 0, fileMode: 0o640 }]);
  expect(fifo.resources.devices).toEqual(PLAIN.linux.resources.devices);
});

test("applyEdits() refuses devices that aren't there", () => {
  writeFileSync(`${root}/file`, "");
  const failed = (node: Partial<CdiDeviceNode>): (() => unknown) => {
    return () => deviceOf(node);
  };
  const stat = "failed to inject devices: failed to stat CDI host device";
  expect(failed({ hostPath: "/dev/not-here" })).toThrow(`${stat} "/dev/not-here": no such file or directory`);
  expect(failed({ hostPath: "", path: `${root}/file` })).toThrow(`${stat} "${root}/file": not a device node`);
  expect(failed({ type: "b" })).toThrow('failed to inject devices: CDI device ("/dev/x", "/dev/null"), host type mismatch (b, c)');
});

test("applyEdits() replaces a device and a mount at the same place, and mounts by depth", () => {
  const twice = apply({ deviceNodes: [NODE] }, apply({ deviceNodes: [{ ...NODE, hostPath: "/dev/zero" }] }));
  expect(twice.linux.devices).toMatchObject([{ path: "/dev/x", minor: 3 }]);
  const mount = (containerPath: string, change: Partial<CdiMount> = {}): CdiMount => ({
    hostPath: "/h",
    containerPath,
    options: ["ro", "rbind"],
    type: "",
    ...change,
  });
  const { mounts } = apply({ mounts: [mount("/a/b/c/d"), mount("/dev/shm", { type: "tmpfs", options: [] }), mount("/a")] });
  const places = mounts.map(({ destination }) => destination);
  expect(places.toSorted()).toEqual([...PLAIN.mounts.map(({ destination }) => destination), "/a", "/a/b/c/d"].toSorted());
  expect(places.at(-1)).toBe("/a/b/c/d");
  expect(places.indexOf("/a")).toBeLessThan(places.indexOf("/dev/pts"));
  expect(mounts.at(-1)).toEqual({ destination: "/a/b/c/d", source: "/h", type: "bind", options: ["ro", "rbind"] });
  expect(mounts.find(({ destination }) => destination === "/dev/shm")).toEqual({
    destination: "/dev/shm",
    source: "/h",
    type: "tmpfs",
    options: [],
  });
});

test("applyEdits() adds hooks, groups, interfaces and a class of service", () => {
  const hook = (hookName: string, path: string): ContainerEdits["hooks"][number] => ({
    hookName,
    path,
    args: ["x"],
    env: ["A=1"],
    timeout: 3,
  });
  const first = apply({ hooks: [hook("poststop", "/a")], additionalGids: [0, 5, 5] });
  const spec = apply(
    {
      hooks: [hook("createRuntime", "/b"), hook("poststop", "/c")],
      additionalGids: [6, 5],
      netDevices: [{ hostInterfaceName: "eth7", name: "data0" }],
      intelRdt: { closID: "fast", l3CacheSchema: "L3:0=f", memBwSchema: "", schemata: [], enableMonitoring: true },
    },
    first,
  );
  const oci = (path: string) => ({ path, args: ["x"], env: ["A=1"], timeout: 3 });
  expect(spec.hooks).toEqual({ createRuntime: [oci("/b")], poststop: [oci("/a"), oci("/c")] });
  const bare = apply({ hooks: [{ ...hook("poststart", "/d"), args: [], env: [], timeout: undefined }] });
  expect(bare.hooks?.poststart).toEqual([{ path: "/d", env: [expect.stringMatching(/^PATH=.*:\/bin$/)] }]);
  expect(spec.process.user.additionalGids).toEqual([5, 6]);
  expect(spec.linux.netDevices).toEqual({ eth7: { name: "data0" } });
  expect(spec.linux.intelRdt).toEqual({ closID: "fast", l3CacheSchema: "L3:0=f", enableMonitoring: true });
});

test("buildSpec() puts the user's mounts on top of the devices'", () => {
  const mounts = [{ destination: "/a", source: "/user", type: "bind", options: ["rbind"] }];
  const own = { hostPath: "/vendor", containerPath: "/a", options: ["bind"], type: "" };
  const edit = (spec: OciSpec): OciSpec => applyEdits(spec, { ...NO_EDITS, mounts: [own, { ...own, containerPath: "/b" }] });
  const { spec } = buildSpec(specInput({}, FACTS, { mounts, edit }));
  expect(spec.mounts.filter(({ destination }) => destination === "/a")).toEqual(mounts);
  expect(spec.mounts.at(-1)?.destination).toBe("/a");
  expect(spec.mounts.some(({ destination }) => destination === "/b")).toBe(true);
});
