import { expect, test } from "bun:test";
import { appArmorProfileText, DEFAULT_APPARMOR_PROFILE, loadDefaultAppArmorProfile } from "./apparmor.ts";
import { hostFacts } from "./host.ts";
import { appArmorProfileOf } from "./spec/mod.ts";

const parser = Bun.which("apparmor_parser", { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` });
const facts = hostFacts();
const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };

test("appArmorProfileText() lets the daemon's own label send signals", () => {
  const rules = (text: string): string[] => text.split("\n").filter((line) => line.includes("signal (receive)"));
  expect(rules(appArmorProfileText("p")).map((line) => line.trim())).toEqual([
    'signal (receive) peer="unconfined",',
    'signal (receive) peer="crun",',
    'signal (receive) peer="runc",',
  ]);
  expect(rules(appArmorProfileText("p", "lxc-c1"))).toContain('  signal (receive) peer="lxc-c1",');
});

test.skipIf(parser === null)("appArmorProfileText() is a profile (skipped without apparmor_parser)", () => {
  for (const label of ["unconfined", "lxc-c1_</var/lib/lxc>//&:lxc-c1_<-var-lib-lxc>:unconfined"]) {
    const stdin = Buffer.from(appArmorProfileText(DEFAULT_APPARMOR_PROFILE, label));
    const { exitCode, stderr } = Bun.spawnSync([parser ?? "", "--skip-kernel-load", "--skip-cache"], { stdin });
    expect(exitCode, stderr.toString()).toBe(0);
  }
});

test("loadDefaultAppArmorProfile() leaves a host without AppArmor alone", async () => {
  const options = { facts: { ...facts, apparmor: false }, execRoot: "/nonexistent", log };
  expect(await loadDefaultAppArmorProfile(options)).toBeUndefined();
});

test("appArmorProfileOf() takes the named profile, then unconfined when privileged, then the default", () => {
  const host = { ...facts, apparmor: true };
  expect(appArmorProfileOf({}, host, "dhow-default")).toBe("dhow-default");
  expect(appArmorProfileOf({ Privileged: true }, host, "dhow-default")).toBe("unconfined");
  expect(appArmorProfileOf({ Privileged: true, SecurityOpt: ["apparmor=mine"] }, host, "dhow-default")).toBe("mine");
  expect(appArmorProfileOf({ SecurityOpt: ["apparmor:unconfined"] }, host, "dhow-default")).toBe("unconfined");
  expect(appArmorProfileOf({}, host, undefined)).toBeUndefined();
  expect(appArmorProfileOf({ SecurityOpt: ["apparmor=mine"] }, { ...facts, apparmor: false }, "dhow-default")).toBeUndefined();
});
