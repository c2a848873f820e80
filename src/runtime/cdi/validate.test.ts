import { expect, test } from "bun:test";
import { type CdiDocument, type ContainerEdits, NO_EDITS } from "./document.ts";
import { checkDocument } from "./validate.ts";

const env: ContainerEdits = { ...NO_EDITS, env: ["A=1"] };
const one = { name: "one", annotations: {}, edits: env };
const DOCUMENT: CdiDocument = { version: "0.3.0", kind: "vendor.com/device", annotations: {}, devices: [one], edits: NO_EDITS };

function problem(change: Partial<CdiDocument>): string {
  try {
    checkDocument({ ...DOCUMENT, ...change });
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}
const editsProblem = (edits: Partial<ContainerEdits>): string => problem({ version: "1.1.0", edits: { ...NO_EDITS, ...edits } });
const node = {
  path: "/dev/x",
  hostPath: "",
  type: "",
  major: 0,
  minor: 0,
  fileMode: undefined,
  permissions: "",
  uid: undefined,
  gid: undefined,
};
const hook = { hookName: "poststop", path: "/bin/x", args: [], env: [], timeout: undefined };
const rdt = { closID: "", l3CacheSchema: "", memBwSchema: "", schemata: [], enableMonitoring: false };

test("checkDocument() wants the version that has what the document uses", () => {
  expect(problem({})).toBe("");
  expect(problem({ version: "v1.1.0" })).toBe("");
  expect(problem({ version: "0.9" })).toBe('invalid version "0.9"');
  expect(problem({ version: "0.2.0" })).toBe("");
  const needs = (change: Partial<CdiDocument>): string => /least v(.*)$/.exec(problem(change))?.[1] ?? "";
  const edits = (own: Partial<ContainerEdits>): Partial<CdiDocument> => ({ devices: [{ ...one, edits: { ...NO_EDITS, ...own } }] });
  expect(needs(edits({ mounts: [{ hostPath: "/a", containerPath: "/b", options: [], type: "bind" }] }))).toBe("0.4.0");
  expect(needs(edits({ deviceNodes: [{ ...node, hostPath: "/dev/y" }] }))).toBe("0.5.0");
  expect(needs({ devices: [{ ...one, name: "0" }] })).toBe("0.5.0");
  expect(needs({ annotations: { a: "b" } })).toBe("0.6.0");
  expect(needs({ kind: "vendor.com/a.b" })).toBe("0.6.0");
  expect(needs(edits({ additionalGids: [1] }))).toBe("0.7.0");
  expect(needs(edits({ intelRdt: rdt }))).toBe("0.7.0");
  expect(needs(edits({ intelRdt: { ...rdt, schemata: ["MB:0=100"] } }))).toBe("1.1.0");
  expect(needs(edits({ netDevices: [{ hostInterfaceName: "a", name: "b" }] }))).toBe("1.1.0");
});

test("checkDocument() refuses names that are none", () => {
  expect(problem({ kind: "device" })).toBe("invalid vendor. empty name");
  expect(problem({ kind: "0vendor.com/x" })).toBe('invalid vendor. "0vendor.com", should start with letter');
  expect(problem({ kind: "vendor.com/a b" })).toBe("invalid class. invalid character ' ' in name \"a b\"");
  expect(problem({ kind: "vendor.com/a-" })).toBe('invalid class. "a-", should end with a letter or digit');
  const device = (name: string): string => problem({ version: "0.6.0", devices: [{ ...one, name }] });
  expect(device("a:b_c-d.e0")).toBe("");
  expect(device("")).toBe('failed add device "": invalid (empty) device name');
  expect(device("-a")).toContain('invalid class "-a", should start with a letter or digit');
  expect(device("a/b")).toContain("invalid character '/' in device name \"a/b\"");
  expect(problem({ devices: [one, one] })).toBe('invalid spec, multiple device "one"');
  expect(problem({ devices: [] })).toBe("invalid spec, no devices");
  expect(problem({ devices: [{ ...one, edits: NO_EDITS }] })).toBe('failed add device "one": invalid device, empty device edits');
});

test("checkDocument() refuses edits that can't be made", () => {
  expect(editsProblem({ env: ["=x"] })).toBe('invalid container edits: invalid environment variable "=x"');
  expect(editsProblem({ deviceNodes: [{ ...node, path: "" }] })).toBe("invalid (empty) device path");
  expect(editsProblem({ deviceNodes: [{ ...node, type: "d" }] })).toBe('device "/dev/x": invalid type "d"');
  expect(editsProblem({ deviceNodes: [{ ...node, permissions: "rx" }] })).toBe('device "/dev/x": invalid permissions "rx"');
  expect(editsProblem({ hooks: [{ ...hook, hookName: "later" }] })).toBe('invalid hook name "later"');
  expect(editsProblem({ hooks: [{ ...hook, path: "" }] })).toBe('invalid hook "poststop" with empty path');
  expect(editsProblem({ hooks: [{ ...hook, env: ["x"] }] })).toBe('invalid hook "poststop": invalid environment variable "x"');
  expect(editsProblem({ mounts: [{ hostPath: "", containerPath: "/x", options: [], type: "" }] })).toBe("invalid mount, empty host path");
  expect(editsProblem({ intelRdt: { ...rdt, closID: "../x" } })).toBe("invalid ClosID");
  expect(editsProblem({ netDevices: [{ hostInterfaceName: "a", name: "" }] })).toBe("invalid linux net device, empty Name");
  const twice = [
    { hostInterfaceName: "a", name: "b" },
    { hostInterfaceName: "c", name: "b" },
  ];
  expect(editsProblem({ netDevices: twice })).toBe('invalid linux net device, duplicate Name "b" with HostInterfaceName "c" and "a"');
});

test("checkDocument() refuses annotations with names that are none", () => {
  const annotated = (key: string, value = ""): string => problem({ version: "0.6.0", annotations: { [key]: value } });
  for (const key of ["a", "Some_name.x", "example.com/a-b"]) expect(annotated(key)).toBe("");
  for (const key of ["", "a b", "/a", "example.com/", "a/b/c", "-a", "x".repeat(64)])
    expect(annotated(key)).toStartWith(`vendor.com/device.annotations.${key} is invalid`);
  expect(annotated("a", "x".repeat(300_000))).toContain("annotations size 300001 is larger than limit 262144");
});
