import { resolve } from "node:path";
import type { Mount } from "../../spec/engine/mod.ts";
import { csvFields } from "../csv.ts";
import { type Kind, parseSize } from "../flag-kinds.ts";

type Options = Readonly<Record<string, unknown>>;

interface Draft {
  Type: string;
  Source: string;
  Target: string;
  ReadOnly: boolean;
  Consistency: string;
  bind: Record<string, unknown>;
  volume: Record<string, unknown>;
  tmpfs: Record<string, unknown>;
  image: Record<string, unknown>;
  /** dhow's own: the engine is told by a label. */
  idmap: string | undefined;
}

/** A mount of a command line, with what docker's API has no field for. */
export interface MountFlag extends Mount {
  readonly idmap?: string;
}

function bool(key: string, value: string): boolean {
  if (["true", "1"].includes(value)) return true;
  if (["false", "0"].includes(value)) return false;
  throw new Error(`invalid value for ${key}: ${value}`);
}

function setFlag(draft: Draft, key: string): boolean {
  switch (key) {
    case "readonly":
    case "ro":
      draft.ReadOnly = true;
      return true;
    case "volume-nocopy":
      draft.volume["NoCopy"] = true;
      return true;
    case "bind-nonrecursive":
      draft.bind["NonRecursive"] = true;
      return true;
    case "bind-create-src":
      draft.bind["CreateMountpoint"] = true;
      return true;
    case "idmap":
      draft.idmap = "match-user";
      return true;
    default:
      return false;
  }
}

function recursion(draft: Draft, value: string): void {
  switch (value) {
    case "enabled":
      return;
    case "disabled":
      draft.bind["NonRecursive"] = true;
      return;
    case "writable":
      draft.bind["ReadOnlyNonRecursive"] = true;
      return;
    case "readonly":
      draft.bind["ReadOnlyForceRecursive"] = true;
      return;
    default:
      throw new Error(`invalid value for bind-recursive: ${value} (must be "enabled", "disabled", "writable", or "readonly")`);
  }
}

function setDriverOption(draft: Draft, update: (config: Record<string, unknown>) => void): void {
  update(memberOf(draft.volume, "DriverConfig"));
}

/** The object at `name`, made when it isn't there. */
function memberOf(parent: Record<string, unknown>, name: string): Record<string, unknown> {
  parent[name] ??= {};
  return parent[name] as Record<string, unknown>;
}

function addPair(map: Record<string, unknown>, value: string): void {
  const at = value.indexOf("=");
  map[at < 0 ? value : value.slice(0, at)] = at < 0 ? "" : value.slice(at + 1);
}

function setValue(draft: Draft, key: string, value: string, field: string): void {
  switch (key) {
    case "type":
      draft.Type = value.toLowerCase();
      break;
    case "source":
    case "src":
      draft.Source = value.startsWith(`.${"/"}`) || value === "." || value === ".." || value.startsWith("../") ? resolve(value) : value;
      break;
    case "target":
    case "dst":
    case "destination":
      draft.Target = value;
      break;
    case "readonly":
    case "ro":
      draft.ReadOnly = bool(key, value);
      break;
    case "consistency":
      draft.Consistency = value.toLowerCase();
      break;
    case "bind-propagation":
      draft.bind["Propagation"] = value.toLowerCase();
      break;
    case "bind-nonrecursive":
      draft.bind["NonRecursive"] = bool(key, value);
      break;
    case "bind-create-src":
      draft.bind["CreateMountpoint"] = bool(key, value);
      break;
    case "bind-recursive":
      recursion(draft, value.toLowerCase());
      break;
    case "volume-subpath":
      draft.volume["Subpath"] = value;

      break;
    case "volume-nocopy":
      draft.volume["NoCopy"] = bool(key, value);
      break;
    case "volume-label":
      addPair(memberOf(draft.volume, "Labels"), value);
      break;
    case "volume-driver":
      setDriverOption(draft, (config) => {
        config["Name"] = value;
      });
      break;
    case "volume-opt":
      setDriverOption(draft, (config) => addPair(memberOf(config, "Options"), value));
      break;
    case "image-subpath":
      draft.image["Subpath"] = value;
      break;
    case "idmap":
      draft.idmap = value;
      break;
    case "tmpfs-size":
      try {
        draft.tmpfs["SizeBytes"] = parseSize(value);
      } catch {
        throw new Error(`invalid value for ${key}: ${value}`);
      }
      break;
    case "tmpfs-mode":
      if (!/^[0-7]+$/.test(value)) throw new Error(`invalid value for ${key}: ${value}`);
      draft.tmpfs["Mode"] = Number.parseInt(value, 8);
      break;
    default:
      throw new Error(`unexpected key '${key}' in '${field}'`);
  }
}

function hasAny(options: Options): boolean {
  return Object.keys(options).length > 0;
}

function finish(draft: Draft): MountFlag {
  const { Type, Source, Target, ReadOnly, Consistency, bind, volume, tmpfs, image, idmap } = draft;
  if (Type === "") throw new Error("type is required");
  if (hasAny(volume)) memberOf(volume, "DriverConfig");
  if (Target === "") throw new Error("target is required");
  if (hasAny(bind) && Type !== "bind") throw new Error(`cannot mix 'bind-*' options with mount type '${Type}'`);
  if (idmap !== undefined && Type !== "bind") throw new Error(`cannot mix 'idmap' with mount type '${Type}'`);
  if (hasAny(volume) && Type !== "volume") throw new Error(`cannot mix 'volume-*' options with mount type '${Type}'`);
  if (hasAny(tmpfs) && Type !== "tmpfs") throw new Error(`cannot mix 'tmpfs-*' options with mount type '${Type}'`);
  if (hasAny(image) && Type !== "image") throw new Error(`cannot mix 'image-*' options with mount type '${Type}'`);
  if (bind["ReadOnlyForceRecursive"] === true) {
    if (!ReadOnly) throw new Error("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction");
    if (bind["Propagation"] !== "rprivate") {
      throw new Error("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction");
    }
  }
  if (bind["ReadOnlyNonRecursive"] === true && !ReadOnly) {
    throw new Error("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction");
  }
  return {
    Type,
    ...(Source !== "" && { Source }),
    Target,
    ...(ReadOnly && { ReadOnly }),
    ...(Consistency !== "" && { Consistency }),
    ...(hasAny(bind) && { BindOptions: bind }),
    ...(hasAny(volume) && { VolumeOptions: volume }),
    ...(hasAny(image) && { ImageOptions: image }),
    ...(hasAny(tmpfs) && { TmpfsOptions: tmpfs }),
    ...(idmap !== undefined && { idmap }),
  } as MountFlag;
}

/** `type=bind,source=/x,target=/y,readonly` in the API's form. @throws Error in docker's words */
export function parseMount(text: string): MountFlag {
  const draft: Draft = {
    Type: "volume",
    Source: "",
    Target: "",
    ReadOnly: false,
    Consistency: "",
    bind: {},
    volume: {},
    tmpfs: {},
    image: {},
    idmap: undefined,
  };
  for (const field of csvFields(text)) {
    const at = field.indexOf("=");
    const key = (at < 0 ? field : field.slice(0, at)).toLowerCase();
    if (at < 0) {
      if (!setFlag(draft, key)) throw new Error(`invalid field '${field}' must be a key=value pair`);
    } else setValue(draft, key, field.slice(at + 1), field);
  }
  return finish(draft);
}

export const MOUNTS: Kind<readonly MountFlag[]> = {
  initial: [],
  word: "mount",
  parse: (text, previous) => [...previous, parseMount(text)],
};

/** The label that says which mounts are shown in other ids. */
export function idmapLabels(mounts: readonly MountFlag[]): Readonly<Record<string, string>> {
  const asked = mounts.flatMap(({ Target, idmap }) => (idmap === undefined ? [] : [`${Target}=${idmap}`]));
  return asked.length === 0 ? {} : { "dhow.mount.idmap": asked.join(" ") };
}
