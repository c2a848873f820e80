import { expect, test } from "bun:test";
import fc from "fast-check";
import { decodeDocument } from "./decode.ts";
import { NO_EDITS } from "./document.ts";

const YAML = `---
# what a vendor's program writes
cdiVersion: 0.7.0
kind: vendor.com/device
annotations: {who: me}
containerEdits:
  env: &env [A=1, B=yes]
  additionalGids: [44]
devices:
- name: 0
  containerEdits:
    deviceNodes:
    - path: /dev/x
      hostPath: /dev/y
      type: c
      major: 195
      minor: 0
      fileMode: 0660
      permissions: rw
      uid: 0x10
    env: *env
    hooks:
    mounts: ~
- name: 0:0
  containerEdits:
    hooks: [{hookName: createRuntime, path: /bin/true, args: [true, '1'], timeout: 5}]
    intelRdt: {closID: guaranteed, enableMonitoring: true}
...
---
second: document
`;

test("decodeDocument() reads YAML by the types of the fields", async () => {
  const document = await decodeDocument(YAML);
  expect(document).toEqual({
    version: "0.7.0",
    kind: "vendor.com/device",
    annotations: { who: "me" },
    edits: { ...NO_EDITS, env: ["A=1", "B=yes"], additionalGids: [44] },
    devices: [
      {
        name: "0",
        annotations: {},
        edits: {
          ...NO_EDITS,
          env: ["A=1", "B=yes"],
          deviceNodes: [
            {
              path: "/dev/x",
              hostPath: "/dev/y",
              type: "c",
              major: 195,
              minor: 0,
              fileMode: 0o660,
              permissions: "rw",
              uid: 16,
              gid: undefined,
            },
          ],
        },
      },
      {
        name: "0:0",
        annotations: {},
        edits: {
          ...NO_EDITS,
          hooks: [{ hookName: "createRuntime", path: "/bin/true", args: ["true", "1"], env: [], timeout: 5 }],
          intelRdt: { closID: "guaranteed", l3CacheSchema: "", memBwSchema: "", schemata: [], enableMonitoring: true },
        },
      },
    ],
  });
});

test("decodeDocument() reads JSON, also indented by tabs, and names of fields in any case", async () => {
  const text =
    '{\n\t"cdiVersion": "1.0.0",\n\t"Kind": "a.b/c",\n\t"devices": [{"name": "d", "containerEdits": {"additionalGIDs": [5]}}]\n}\n';
  const document = await decodeDocument(text);
  expect(document).toMatchObject({ version: "1.0.0", kind: "a.b/c", devices: [{ name: "d", edits: { additionalGids: [5] } }] });
});

test("decodeDocument() reads nothing in an empty file", async () => {
  expect(await decodeDocument("")).toBeUndefined();
  expect(await decodeDocument("# a comment\n")).toBeUndefined();
});

const refused = (text: string): Promise<string> =>
  decodeDocument(text).then(
    () => "",
    (error: Error) => error.message,
  );
const json = (reason: string): string => `error unmarshaling JSON: while decoding JSON: json: ${reason}`;

test("decodeDocument() refuses what has another form", async () => {
  expect(await refused("kind: a/b\nfoo: 1")).toBe(json('unknown field "foo"'));
  expect(await refused('{"devices": [{"name": "x", "containerEdits": {"foo": 1}}]}')).toBe(json('unknown field "foo"'));
  expect(await refused("devices: {}")).toBe(json("cannot unmarshal object into Go struct field Spec.devices of type []specs.Device"));
  expect(await refused("containerEdits: {env: A=1}")).toBe(
    json("cannot unmarshal string into Go struct field Spec.containerEdits.env of type []string"),
  );
  const node = (fields: string): string => `containerEdits: {deviceNodes: [{${fields}}]}`;
  const field = "Go struct field Spec.containerEdits.deviceNodes";
  expect(await refused(node('major: "1"'))).toBe(json(`cannot unmarshal string into ${field}.major of type int64`));
  expect(await refused(node("uid: -1"))).toBe(json(`cannot unmarshal number -1 into ${field}.uid of type uint32`));
  expect(await refused(node("path: [x]"))).toBe(json(`cannot unmarshal array into ${field}.path of type string`));
  expect(await refused("- a")).toBe(json("cannot unmarshal array into Go struct field  of type specs.Spec"));
  expect(await refused("a: 1\na: 2")).toStartWith("error converting YAML to JSON: yaml: Map keys must be unique");
});

test("decodeDocument() is not kept busy by aliases of aliases", async () => {
  const levels = Array.from({ length: 9 }, (_, level) => `${level + 1}: &l${level + 1} [${`*l${level},`.repeat(9)}]`);
  expect(await refused(["0: &l0 [x]", ...levels].join("\n"))).toContain("document contains excessive aliasing");
  expect(await refused("kind: &a [*a]")).toContain("document contains excessive aliasing");
});

test("decodeDocument() reads the same from JSON and from YAML, and throws nothing but refusals", async () => {
  const value = fc.jsonValue({ maxDepth: 3 });
  await fc.assert(
    fc.asyncProperty(fc.record({ kind: value, devices: value, containerEdits: value }, { requiredKeys: [] }), async (document) => {
      const text = JSON.stringify(document);
      expect(await refused(`---\n${text}`)).toBe(await refused(text));
    }),
    { numRuns: 200 },
  );
});
