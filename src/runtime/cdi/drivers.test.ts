import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { createLogger, isKind, silentLogger } from "../../lib/mod.ts";
import type { DeviceRequest } from "../../spec/engine/mod.ts";
import type { OciSpec } from "../../spec/oci-runtime/mod.ts";
import { buildSpec } from "../spec/mod.ts";
import { FACTS, specInput } from "../spec/test-support.ts";
import { type DeviceSources, deviceRequestsEdit } from "./drivers.ts";
import { type CdiDevices, CdiRegistry } from "./registry.ts";

const root = mkdtempSync(`${tmpdir()}/dhow-cdi-drivers-`);
afterAll(() => rmSync(root, { recursive: true }));

/** The devices that one file for each kind describes: each sets a variable of its own name. */
async function devicesOf(kinds: Readonly<Record<string, readonly string[]>>): Promise<CdiDevices> {
  const directory = mkdtempSync(`${root}/d`);
  for (const [index, [kind, names]] of Object.entries(kinds).entries()) {
    const devices = names.map((name) => ({ name, containerEdits: { env: [`N${name}=${kind}`] } }));
    writeFileSync(`${directory}/${index}.json`, JSON.stringify({ cdiVersion: "0.5.0", kind, devices }));
  }
  return new CdiRegistry([directory], { log: silentLogger }).devices();
}

let vendor: CdiDevices;
beforeAll(async () => {
  vendor = await devicesOf({ "vendor.com/device": ["a", "b"] });
});

const PLAIN = buildSpec(specInput({}, FACTS)).spec;

function edited(requests: readonly DeviceRequest[], sources: Partial<DeviceSources> = {}): OciSpec {
  return deviceRequestsEdit(requests, { cdi: vendor, findProgram: () => undefined, log: silentLogger, ...sources })(PLAIN);
}
const envOf = (requests: readonly DeviceRequest[], sources: Partial<DeviceSources> = {}): readonly string[] =>
  edited(requests, sources).process.env.slice(PLAIN.process.env.length);
function refusal(request: DeviceRequest, sources: Partial<DeviceSources> = {}): string {
  try {
    edited([request], sources);
    return "";
  } catch (error) {
    expect(isKind(error, "internal")).toBe(true);
    return (error as Error).message;
  }
}
const GPU: DeviceRequest = { Driver: "", Count: -1, DeviceIDs: null, Capabilities: [["gpu"]], Options: {} };
const cdi = (...ids: readonly string[]): DeviceRequest => ({ Driver: "cdi", DeviceIDs: ids });

test("the cdi driver gives the devices that are named", () => {
  expect(envOf([cdi("vendor.com/device=a"), cdi("vendor.com/device=b")])).toEqual(["Na=vendor.com/device", "Nb=vendor.com/device"]);
  expect(envOf([cdi()])).toEqual([]);
  expect(refusal(cdi("vendor.com/device=c", "x"))).toBe("CDI device injection failed: unresolvable CDI devices vendor.com/device=c, x");
  expect(refusal({ ...cdi("vendor.com/device=a"), Count: 1 })).toBe("unexpected count in CDI device request");
  expect(refusal({ ...cdi("vendor.com/device=a"), Options: { a: "b" } })).toBe("unexpected options in CDI device request");
});

test("the cdi driver says why there are no devices", async () => {
  expect(refusal(cdi("a/b=c"), { cdi: undefined })).toBe('could not select device driver "cdi" with capabilities: []');
  const none = await new CdiRegistry([], { log: silentLogger }).devices();
  expect(refusal(cdi("a/b=c"), { cdi: none })).toBe("CDI device injection failed: no CDI specification directories specified");
  const directory = mkdtempSync(`${root}/d`);
  writeFileSync(`${directory}/bad.json`, "{}");
  const lines: string[] = [];
  const log = createLogger({ level: "warn", format: "json", write: (line) => void lines.push(line) });
  const broken = await new CdiRegistry([directory], { log }).devices();
  expect(refusal(cdi("a/b=c"), { cdi: broken, log })).toContain("unresolvable CDI devices a/b=c");
  expect(lines.map((line) => JSON.parse(line).error)).toEqual(['failed to load CDI Spec invalid CDI Spec: invalid version ""']);
});

test("a request that no driver is there for names what it asked for", () => {
  expect(refusal(GPU)).toBe('could not select device driver "" with capabilities: [[gpu]]');
  expect(refusal({})).toBe('could not select device driver "" with capabilities: []');
  expect(refusal({ Driver: "nvidia", Count: 1, Capabilities: [["compute", "gpu"], ["x"]] })).toBe(
    'could not select device driver "nvidia" with capabilities: [[compute gpu] [x]]',
  );
});

test("graphics processors come by CDI where a vendor describes them", async () => {
  const nvidia = await devicesOf({ "nvidia.com/gpu": ["0", "1", "all"], "amd.com/gpu": ["all"] });
  const env = (change: DeviceRequest): readonly string[] => envOf([{ ...GPU, ...change }], { cdi: nvidia });
  expect(env({})).toEqual(["Nall=nvidia.com/gpu"]);
  expect(env({ Count: 2 })).toEqual(["N0=nvidia.com/gpu", "N1=nvidia.com/gpu"]);
  expect(env({ Count: 0 })).toEqual([]);
  expect(env({ Count: 0, DeviceIDs: ["1", "amd.com/gpu=all"] })).toEqual(["N1=nvidia.com/gpu", "Nall=amd.com/gpu"]);
  expect(env({ Driver: "nvidia.cdi", Count: 1 })).toEqual(["N0=nvidia.com/gpu"]);
  // an empty alternative asks for nothing, and the first that fits counts
  expect(env({ Capabilities: [["other"], []] })).toEqual(["Nall=nvidia.com/gpu"]);
  expect(refusal({ ...GPU, Capabilities: [["gpu", "other"]] }, { cdi: nvidia })).toBe(
    'could not select device driver "" with capabilities: [[gpu other]]',
  );
  expect(refusal({ ...GPU, DeviceIDs: ["0"] }, { cdi: nvidia })).toBe("cannot set both Count and DeviceIDs on device request");
  expect(refusal({ ...GPU, Count: 5 }, { cdi: nvidia })).toContain("unresolvable CDI devices nvidia.com/gpu=2, nvidia.com/gpu=3");
  expect(refusal({ ...GPU, Count: 2 ** 31 }, { cdi: nvidia })).toBe("request 2147483648 devices: want 1024 at most");
  const amd = await devicesOf({ "amd.com/gpu": ["0", "all"] });
  expect(envOf([GPU], { cdi: amd })).toEqual(["Nall=amd.com/gpu"]);
});

test("graphics processors come by the vendors' hooks where nothing describes them", () => {
  const only =
    (...names: readonly string[]) =>
    (name: string) =>
      names.includes(name) ? `/usr/bin/${name}` : undefined;
  const request = { ...GPU, Capabilities: [["gpu", "compute", "utility"]] };
  const nvidia = edited([request], { findProgram: only("nvidia-cdi-hook", "nvidia-container-runtime-hook") });
  expect(nvidia.process.env.slice(-2)).toEqual(["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"]);
  expect(nvidia.hooks?.prestart).toEqual([
    {
      path: "/usr/bin/nvidia-container-runtime-hook",
      args: ["nvidia-container-runtime-hook", "prestart"],
      env: expect.arrayContaining([`PATH=${process.env["PATH"]}`]),
    },
  ]);
  expect(refusal(GPU, { findProgram: only("nvidia-cdi-hook") })).toContain("unresolvable CDI devices nvidia.com/gpu=all");
  expect(refusal(GPU, { cdi: undefined, findProgram: only("nvidia-cdi-hook") })).toBe(
    'no CDI device driver registered: could not select device driver "" with capabilities: [[gpu]]',
  );
  const amd = { findProgram: only("amd-container-runtime") };
  expect(envOf([{ ...GPU, Count: 2 }], amd)).toEqual(["AMD_VISIBLE_DEVICES=0,1"]);
  expect(envOf([{ ...GPU, Count: 0 }], amd)).toEqual(["AMD_VISIBLE_DEVICES=void"]);
});
