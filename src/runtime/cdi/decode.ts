import { DhowError } from "../../lib/mod.ts";
import {
  type CdiDevice,
  type CdiDeviceNode,
  type CdiDocument,
  type CdiHook,
  type CdiIntelRdt,
  type CdiMount,
  type CdiNetDevice,
  type ContainerEdits,
  NO_EDITS,
} from "./document.ts";
import { isScalar, parseTree, type Scalar, type Tree } from "./tree.ts";

/** Reads one value; `path` is where it stands. A missing one is null, and has the zero value of its type. @throws invalid */
type Decode<T> = (tree: Tree, path: string) => T;

function kindOf(tree: Exclude<Tree, null>): string {
  if (!isScalar(tree)) return Array.isArray(tree) ? "array" : "object";
  if (tree.isQuoted) return "string";
  if (/^(?:true|false)$/.test(tree.text)) return "bool";
  return /^[-+]?[0-9]/.test(tree.text) ? `number ${tree.text}` : "string";
}

function mismatch(tree: Exclude<Tree, null>, path: string, type: string): DhowError {
  return new DhowError("invalid", unmarshalling(`json: cannot unmarshal ${kindOf(tree)} into Go struct field ${path} of type ${type}`));
}

function unmarshalling(reason: string): string {
  return `error unmarshaling JSON: while decoding JSON: ${reason}`;
}

function scalarOf(tree: Exclude<Tree, null>, path: string, type: string): Scalar {
  if (!isScalar(tree)) throw mismatch(tree, path, type);
  return tree;
}

const text: Decode<string> = (tree, path) => (tree === null ? "" : scalarOf(tree, path, "string").text);

/** Hexadecimal, octal (`0666`, `0o666`) or decimal. */
const INTEGER = /^([-+]?)(?:0x([0-9a-fA-F]+)|0o?([0-7]+)|([0-9]+))$/;

function integer(type: string, min: number, max: number): Decode<number> {
  return (tree, path) => {
    if (tree === null) return 0;
    const { text: written, isQuoted } = scalarOf(tree, path, type);
    const match = isQuoted ? null : INTEGER.exec(written);
    if (match === null) throw mismatch(tree, path, type);
    const [, sign, hexadecimal, octal, decimal = ""] = match;
    const absolute = hexadecimal ? Number.parseInt(hexadecimal, 16) : octal ? Number.parseInt(octal, 8) : Number(decimal);
    const value = sign === "-" ? -absolute : absolute;
    if (value < min || value > max) throw mismatch(tree, path, type);
    return value;
  };
}

const int64 = integer("int64", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
const uint32 = integer("uint32", 0, 0xffffffff);

const flag: Decode<boolean> = (tree, path) => {
  if (tree === null) return false;
  const { text: written, isQuoted } = scalarOf(tree, path, "bool");
  if (!isQuoted && /^(?:true|yes|on)$/i.test(written)) return true;
  if (!isQuoted && /^(?:false|no|off)$/i.test(written)) return false;
  throw mismatch(tree, path, "bool");
};

function optional<T>(decode: Decode<T>): Decode<T | undefined> {
  return (tree, path) => (tree === null ? undefined : decode(tree, path));
}

function list<T>(decode: Decode<T>, type: string): Decode<readonly T[]> {
  return (tree, path) => {
    if (tree === null) return [];
    if (!Array.isArray(tree)) throw mismatch(tree, path, `[]${type}`);
    return tree.map((item) => decode(item, path));
  };
}

function isMap(tree: Tree): tree is ReadonlyMap<string, Tree> {
  return tree instanceof Map;
}

const texts: Decode<Readonly<Record<string, string>>> = (tree, path) => {
  if (tree === null) return {};
  if (!isMap(tree)) throw mismatch(tree, path, "map[string]string");
  return Object.fromEntries([...tree].map(([key, value]) => [key, text(value, path)]));
};

/** How the fields of a T are read, by T's keys, and the documents' names of those that differ. */
type Fields<T> = { readonly [K in keyof T & string]: Decode<T[K]> };

/** An object that has no other fields; their names are taken in any case, as Go's JSON does. */
function struct<T>(type: string, fields: Fields<T>, names: { readonly [K in keyof T & string]?: string } = {}): Decode<T> {
  const keys = Object.keys(fields) as (keyof T & string)[];
  const nameOf = (key: keyof T & string): string => names[key] ?? key;
  const known = new Set(keys.map((key) => nameOf(key).toLowerCase()));
  return (tree, path) => {
    if (tree !== null && !isMap(tree)) throw mismatch(tree, path, type);
    const given = new Map([...(tree ?? [])].map(([name, value]) => [name.toLowerCase(), value]));
    const unknown = [...(tree?.keys() ?? [])].find((name) => !known.has(name.toLowerCase()));
    if (unknown !== undefined) throw new DhowError("invalid", unmarshalling(`json: unknown field ${JSON.stringify(unknown)}`));
    const below = path === "" ? type.replace(/^.*\./, "") : path;
    const entries = keys.map((key) => [key, fields[key](given.get(nameOf(key).toLowerCase()) ?? null, `${below}.${nameOf(key)}`)]);
    return Object.fromEntries(entries) as T;
  };
}

const deviceNode = struct<CdiDeviceNode>("specs.DeviceNode", {
  path: text,
  hostPath: text,
  type: text,
  major: int64,
  minor: int64,
  fileMode: optional(uint32),
  permissions: text,
  uid: optional(uint32),
  gid: optional(uint32),
});

const netDevice = struct<CdiNetDevice>("specs.LinuxNetDevice", { hostInterfaceName: text, name: text });

const hook = struct<CdiHook>("specs.Hook", {
  hookName: text,
  path: text,
  args: list(text, "string"),
  env: list(text, "string"),
  timeout: optional(int64),
});

const mount = struct<CdiMount>("specs.Mount", { hostPath: text, containerPath: text, options: list(text, "string"), type: text });

const intelRdt = struct<CdiIntelRdt>("specs.IntelRdt", {
  closID: text,
  l3CacheSchema: text,
  memBwSchema: text,
  schemata: list(text, "string"),
  enableMonitoring: flag,
});

const editsOfMap = struct<ContainerEdits>("specs.ContainerEdits", {
  env: list(text, "string"),
  deviceNodes: list(deviceNode, "*specs.DeviceNode"),
  netDevices: list(netDevice, "*specs.LinuxNetDevice"),
  hooks: list(hook, "*specs.Hook"),
  mounts: list(mount, "*specs.Mount"),
  intelRdt: optional(intelRdt),
  additionalGids: list(uint32, "uint32"),
});
const edits: Decode<ContainerEdits> = (tree, path) => (tree === null ? NO_EDITS : editsOfMap(tree, path));

const device = struct<CdiDevice>("specs.Device", { name: text, annotations: texts, edits }, { edits: "containerEdits" });

const document = struct<CdiDocument>(
  "specs.Spec",
  { version: text, kind: text, annotations: texts, devices: list(device, "specs.Device"), edits },
  { version: "cdiVersion", edits: "containerEdits" },
);

/**
 * Reads a document of the Container Device Interface, JSON or YAML; undefined when there is nothing in it. Its contents are not looked at.
 * @throws invalid for what has not the form of one: an unknown field, a value of another type
 */
export async function decodeDocument(source: string): Promise<CdiDocument | undefined> {
  const tree = await parseTree(source);
  return tree === null ? undefined : document(tree, "");
}
