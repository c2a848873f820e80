import { expect, test } from "bun:test";
import fc from "fast-check";
import { DhowError, errorMessage } from "../lib/mod.ts";
import type { Mount } from "../spec/engine/mod.ts";
import { cleanPath, parseBind, parseMount, parseVolumesFrom, validateMount, validateMounts } from "./mount-spec.ts";
import { tmpfsMountData, tmpfsOptions } from "./tmpfs-options.ts";

const message = (work: () => unknown): string => {
  try {
    work();
    return "";
  } catch (error) {
    return errorMessage(error);
  }
};

test("parseBind() reads docker's -v", () => {
  expect(parseBind("/data")).toMatchObject({ kind: "volume", source: "", destination: "/data" });
  expect(parseBind("name:/data/../x/:ro,nocopy")).toMatchObject({
    kind: "volume",
    source: "name",
    destination: "/x",
    isReadOnly: true,
    noCopy: true,
  });
  expect(parseBind("/src/:/dst:rshared,Z")).toMatchObject({
    kind: "bind",
    source: "/src",
    destination: "/dst",
    propagation: "rshared",
    mode: "rshared,Z",
    createSource: true,
  });
  expect(parseBind("/src:/dst")).toMatchObject({ propagation: "rprivate", isReadOnly: false, mode: "" });
});

const BAD_BINDS: readonly (readonly [string, string])[] = [
  ["", "invalid volume specification: ''"],
  [":/x", "invalid volume specification: ':/x'"],
  ["/x:rw", "invalid volume specification: '/x:rw'"],
  ["a:/b:rw:x", "invalid volume specification: 'a:/b:rw:x'"],
  ["a:/b:rw,ro", "invalid mode: rw,ro"],
  ["a:/b:nope", "invalid mode: nope"],
  ["/a:/", `invalid volume specification: '/a:/': invalid mount config for type "bind": invalid specification: destination can't be '/'`],
  [
    "/a:b",
    `invalid volume specification: '/a:b': invalid mount config for type "bind": invalid mount path: 'b' mount path must be absolute`,
  ],
  [
    "a:/b:rshared",
    `invalid volume specification: 'a:/b:rshared': invalid mount config for type "volume": field BindOptions must not be specified`,
  ],
  [
    "/a:/b:nocopy",
    `invalid volume specification: '/a:/b:nocopy': invalid mount config for type "bind": field VolumeOptions must not be specified`,
  ],
];

for (const [text, expected] of BAD_BINDS) {
  test(`parseBind() refuses ${JSON.stringify(text)}`, () => expect(message(() => parseBind(text))).toBe(expected));
}

const BAD_MOUNTS: readonly (readonly [Mount, string])[] = [
  [
    { Type: "bind", Source: "/nothing/here", Target: "/x" },
    'invalid mount config for type "bind": bind source path does not exist: /nothing/here',
  ],
  [{ Type: "bind", Target: "/x" }, 'invalid mount config for type "bind": field Source must not be empty'],
  [{ Type: "bind", Source: "/", Target: "" }, 'invalid mount config for type "bind": field Target must not be empty'],
  [
    { Type: "bind", Source: "/", Target: "/x", BindOptions: { Propagation: "x" } },
    'invalid mount config for type "bind": invalid propagation mode: x',
  ],
  [
    { Type: "volume", Target: "/x", ReadOnly: true },
    'invalid mount config for type "volume": must not set ReadOnly mode when using anonymous volumes',
  ],
  [
    { Type: "volume", Target: "/x", VolumeOptions: { Subpath: "a" } },
    'invalid mount config for type "volume": must not set Subpath when using anonymous volumes',
  ],
  [
    { Type: "volume", Source: "vv", Target: "/x", VolumeOptions: { Subpath: "../a" } },
    'invalid mount config for type "volume": subpath must be a relative path within the volume',
  ],
  [{ Type: "tmpfs", Source: "/a", Target: "/x" }, 'invalid mount config for type "tmpfs": field Source must not be specified'],
  [{ Type: "npipe", Target: "/x" }, 'invalid mount config for type "npipe": mount type unknown'],
];

for (const [mount, expected] of BAD_MOUNTS) {
  test(`parseMount() refuses ${JSON.stringify(mount)}`, () => expect(message(() => parseMount(mount))).toBe(expected));
}

test("parseMount() reads docker's --mount", () => {
  expect(parseMount({ Type: "bind", Source: "/nothing/here", Target: "/x", BindOptions: { CreateMountpoint: true } }).createSource).toBe(
    true,
  );
  const tmpfs = parseMount({ Type: "tmpfs", Target: "/x", ReadOnly: true, TmpfsOptions: { SizeBytes: 1 << 20, Mode: 0o1777 } });
  expect(tmpfs.tmpfs).toBe("ro,mode=1777,size=1m");
});

test("parseVolumesFrom() reads a container and a mode", () => {
  expect(parseVolumesFrom("c")).toEqual({ container: "c", isReadOnly: false });
  expect(parseVolumesFrom("c:ro,z")).toEqual({ container: "c", isReadOnly: true });
  expect(message(() => parseVolumesFrom(""))).toBe("volumes-from specification cannot be an empty string");
  expect(message(() => parseVolumesFrom("c:rshared"))).toBe("invalid mode: rshared");
  expect(message(() => parseVolumesFrom("c:nocopy"))).toBe("invalid mode: nocopy");
});

test("tmpfsOptions() lets the user's options win over docker's", () => {
  expect(tmpfsOptions("")).toEqual(["noexec", "nosuid", "nodev", "rprivate"]);
  expect(tmpfsOptions("exec,size=1m,size=2m")).toEqual(["nosuid", "nodev", "rprivate", "exec", "size=2m"]);
  expect(message(() => tmpfsOptions("nope"))).toBe('invalid tmpfs option ["nope"]');
  expect(message(() => validateMounts({ Tmpfs: { x: "" } }))).toBe("invalid mount path: 'x' mount path must be absolute");
  expect(tmpfsMountData({ SizeBytes: 1000, Options: [["noexec"]] }, false)).toBe("size=1000,noexec");
});

test("cleanPath() is Go's path.Clean", () => {
  expect(["/a//b/", "/", "/a/./b/../c", "/../x"].map(cleanPath)).toEqual(["/a/b", "/", "/a/c", "/x"]);
});

test("parseBind() and validateMount() let nothing through but places in the container, whatever the text", () => {
  const part = fc.constantFrom("/", "a", ":", "ro", "rw", ",", "z", "shared", "..", ".", "nocopy", "\0", " ");
  const text = fc.oneof(
    fc.array(part, { maxLength: 8 }).map((parts) => parts.join("")),
    fc.string(),
  );
  const type = fc.constantFrom("bind", "volume", "tmpfs", "image", "npipe", "cluster", "");
  fc.assert(
    fc.property(text, text, type, (source, target, kind) => {
      const mount = { Type: kind, Source: source, Target: target } as Mount;
      for (const parse of [
        () => parseBind(source),
        () => {
          validateMount(mount, false);
          return parseMount(mount);
        },
      ]) {
        try {
          const { destination } = parse();
          expect(destination).toStartWith("/");
          expect(destination).not.toContain("/../");
        } catch (error) {
          if (!(error instanceof DhowError)) throw error;
        }
      }
    }),
    { interruptAfterTimeLimit: 1_500, numRuns: 3_000 },
  );
});
