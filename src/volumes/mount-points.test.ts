import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { prepareMountPoints } from "./mount-points.ts";

let root: string;
let rootfs: string;

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/dhow-points-`);
  rootfs = `${root}/rootfs`;
  mkdirSync(`${rootfs}/etc`, { recursive: true });
  mkdirSync(`${root}/source`);
  writeFileSync(`${root}/file`, "");
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const bind = (destination: string, source = `${root}/source`) => ({ destination, type: "bind", source });

test("prepareMountPoints() makes the target of a link that points to nothing, inside the root", () => {
  symlinkSync("../run/resolve/stub.conf", `${rootfs}/etc/resolv.conf`);
  symlinkSync(`${root}/outside`, `${rootfs}/absolute`);
  symlinkSync("../../../../../../../..", `${rootfs}/climbing`);
  prepareMountPoints(rootfs, [bind("/absolute/deep"), bind("/climbing/top"), bind("/etc/resolv.conf", `${root}/file`), bind("/new")]);
  expect(statSync(`${rootfs}/run/resolve/stub.conf`).isFile()).toBe(true);
  expect(statSync(`${rootfs}${root}/outside/deep`).isDirectory()).toBe(true);
  expect(statSync(`${rootfs}/top`).isDirectory()).toBe(true);
  expect(readdirSync(root).sort()).toEqual(["file", "rootfs", "source"]);
});

test("prepareMountPoints() makes nothing below another mount or the runtime's own", () => {
  prepareMountPoints(rootfs, [bind("/data"), bind("/data/sub"), bind("/dev/x"), { destination: "/t", type: "tmpfs", source: "tmpfs" }]);
  expect(readdirSync(rootfs).sort()).toEqual(["data", "etc", "t"]);
  expect(existsSync(`${rootfs}/data/sub`)).toBe(false);
});

test("prepareMountPoints() refuses links in circles", () => {
  symlinkSync("b", `${rootfs}/a`);
  symlinkSync("a", `${rootfs}/b`);
  expect(() => prepareMountPoints(rootfs, [bind("/a/x")])).toThrow();
});
