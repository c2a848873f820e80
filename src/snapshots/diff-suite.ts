import { expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errorKind } from "../lib/mod.ts";
import { close, lsetxattr, mknodat, O_DIRECTORY, O_RDONLY, open, S_IFCHR, S_IFIFO } from "../linux/mod.ts";
import type { Snapshotter } from "./mod.ts";
import { files, makeLayer, temporaryDirectory } from "./test-support.ts";
import { walk } from "./walk.ts";

const LETTERS = { added: "A", modified: "C", deleted: "D", same: "=" } as const;
const BASE = { "etc/a": "a", "etc/b": "b", "dir/sub/x": "x", "dir/sub/y": "y", "dir/z": "z", file: "file" };

/** What `diff` says of a snapshot, without the directories that are as they were. */
async function told(s: Snapshotter, key: string): Promise<string[]> {
  const lines: string[] = [];
  for await (const difference of s.diff(key)) {
    const { kind, path } = difference;
    const mark = kind === "deleted" ? (difference.isImplied ? " (implied)" : "") : difference.isOpaque ? " (opaque)" : "";
    if (kind !== "same" || difference.isTouched || mark !== "") lines.push(`${LETTERS[kind]} ${path}${mark}`);
  }
  return lines;
}

type Change = (rootfs: string) => void;

/** Pairs of what is done in a snapshot and what `diff` has to say; the marks of overlayfs are left out. */
const CASES: Readonly<Record<string, readonly [Change, readonly string[]]>> = {
  nothing: [() => {}, []],
  "a new file, an old one changed, one removed": [
    (root) => {
      files({ "etc/new": "1", "etc/a": "changed" })(root);
      rmSync(join(root, "etc/b"));
    },
    ["= etc", "C etc/a", "D etc/b", "A etc/new"],
  ],
  "names in the order of their bytes, a directory before what is in it": [
    (root) => files({ "n/b": "", "n.txt": "", "n/a": "", N: "", "n-1": "" })(root),
    ["A N", "A n", "A n/a", "A n/b", "A n-1", "A n.txt"],
  ],
  "permissions alone": [(root) => chmodSync(join(root, "file"), 0o600), ["C file"]],
  "the owner alone": [(root) => chownSync(join(root, "dir/sub"), 3, 4), ["C dir/sub"]],
  "a time alone": [(root) => utimesSync(join(root, "file"), 5, 5), ["C file"]],
  "a time of a directory is no change, but touches": [(root) => utimesSync(join(root, "dir"), 5, 5), ["= dir"]],
  "capabilities alone": [
    (root) => lsetxattr(join(root, "file"), "security.capability", Buffer.from("0100000200040000000000000000000000000000", "hex")),
    ["C file"],
  ],
  "other xattrs are no change, but they touch": [(root) => lsetxattr(join(root, "file"), "user.note", Buffer.from("x")), ["= file"]],
  "of a removed directory only itself": [(root) => rmSync(join(root, "dir"), { recursive: true }), ["D dir"]],
  "a file in the place of a directory": [
    (root) => {
      rmSync(join(root, "dir"), { recursive: true });
      writeFileSync(join(root, "dir"), "");
    },
    ["C dir"],
  ],
  "a directory in the place of a file": [
    (root) => {
      rmSync(join(root, "file"));
      files({ "file/inner": "" })(root);
    },
    ["C file", "A file/inner"],
  ],
  "a renamed file": [(root) => renameSync(join(root, "file"), join(root, "moved")), ["D file", "A moved"]],
  "a link in the place of a file": [
    (root) => {
      rmSync(join(root, "file"));
      symlinkSync("etc/a", join(root, "file"));
    },
    ["C file"],
  ],
  "devices and pipes": [
    (root) => {
      const fd = open(root, O_RDONLY | O_DIRECTORY);
      mknodat(fd.fd, "null", S_IFCHR | 0o666, 0x103);
      mknodat(fd.fd, "pipe", S_IFIFO | 0o600);
      close(fd.release());
    },
    ["A null", "A pipe"],
  ],
  "what came and went": [
    (root) => {
      files({ "tmp/x": "" })(root);
      rmSync(join(root, "tmp"), { recursive: true });
    },
    [],
  ],
};

/** What every snapshotter's `diff` and `openRoot` promise. */
export function diffSuite(make: (root: string) => Snapshotter): void {
  const start = (path: string): Snapshotter => make(join(path, "s"));

  for (const [name, [change, expected]] of Object.entries(CASES)) {
    test(`diff() tells ${name}`, async () => {
      using tmp = temporaryDirectory();
      const s = start(tmp.path);
      const base = await makeLayer(s, null, "base", files(BASE));
      // two layers: what is below is looked at through a mount
      const top = await makeLayer(s, base, "top", files({ "other/file": "" }));
      for (const [key, parent] of [
        ["one", base],
        ["two", top],
      ] as const) {
        await s.prepare(key, parent);
        change(s.mount(key));
        expect(await told(s, key)).toEqual([...expected]);
        s.unmount(key);
        expect(await told(s, key)).toEqual([...expected]);
      }
    });
  }

  test("diff() tells each name of what a replaced directory had", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    await s.prepare("c", await makeLayer(s, null, "base", files(BASE)));
    const root = s.mount("c");
    rmSync(join(root, "dir"), { recursive: true });
    files({ "dir/sub/x": "other", "dir/new/n": "" })(root);
    const lines = (await told(s, "c")).map((line) => line.replace(/ \(.*\)$/, ""));
    expect(lines).toEqual(["= dir", "A dir/new", "A dir/new/n", "= dir/sub", "C dir/sub/x", "D dir/sub/y", "D dir/z"]);
  });

  test("diff() tells a renamed directory as gone and come", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    await s.prepare("c", await makeLayer(s, null, "base", files(BASE)));
    const root = s.mount("c");
    // rename(2) of a directory of the parent fails with EXDEV on overlayfs: mv copies it then
    expect(Bun.spawnSync(["mv", join(root, "dir"), join(root, "moved")]).exitCode).toBe(0);
    expect(await told(s, "c")).toEqual(["D dir", "A moved", "A moved/sub", "A moved/sub/x", "A moved/sub/y", "A moved/z"]);
  });

  test("diff() tells both names of a file that was linked", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    await s.prepare("c", await makeLayer(s, null, "base", files(BASE)));
    linkSync(join(s.mount("c"), "file"), join(s.mount("c"), "second"));
    expect((await told(s, "c")).filter((line) => !line.startsWith("="))).toEqual(["A second"]);
  });

  test("diff() takes what a middle layer has removed for new when it comes back", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    const base = await makeLayer(s, null, "base", files(BASE));
    const draft = await s.draft(base);
    if (draft.whiteouts === "remove") rmSync(join(draft.root, "file"));
    else Bun.spawnSync(["mknod", join(draft.root, "file"), "c", "0", "0"]);
    const middle = base.replace(/.$/, (digit) => (digit === "0" ? "1" : "0")) as typeof base;
    draft.commit(middle);
    await s.prepare("c", middle);
    writeFileSync(join(s.mount("c"), "file"), "again");
    expect(await told(s, "c")).toEqual(["A file"]);
  });

  test("diff() without a parent tells everything as added", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    await s.prepare("c", null);
    files({ "a/b": "" })(s.mount("c"));
    expect(await told(s, "c")).toEqual(["A a", "A a/b"]);
  });

  test("diff() of a tree whose files come and go ends without an error", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    await s.prepare("c", await makeLayer(s, null, "base", files(BASE)));
    const root = s.mount("c");
    for (let i = 0; i < 50; i++) files({ [`d${i}/f`]: "" })(root);
    let seen = 0;
    for await (const { path } of s.diff("c")) {
      if (seen++ === 0) for (const name of readdirSync(root)) if (name.startsWith("d")) rmSync(join(root, name), { recursive: true });
      expect(path).not.toContain("..");
    }
    expect(seen).toBeGreaterThan(0);
  });

  test("diff() does not leave the tree by a link that takes a directory's place", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    const outside = join(tmp.path, "outside");
    files({ secret: "x" })(outside);
    await s.prepare("c", null);
    const root = s.mount("c");
    mkdirSync(join(root, "a"));
    mkdirSync(join(root, "b"));
    const paths: string[] = [];
    for await (const { path } of s.diff("c")) {
      paths.push(path);
      if (path !== "a") continue;
      rmSync(join(root, "b"), { recursive: true });
      symlinkSync(outside, join(root, "b"));
    }
    expect(paths).toEqual(["a", "b"]);
  });

  test("diff() refuses a tree that is deeper than a path can be", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    await s.prepare("c", null);
    const name = "d".repeat(200);
    const script = `cd ${s.mount("c")} && for i in $(seq 25); do mkdir ${name} && cd -P ${name}; done`;
    expect(Bun.spawnSync(["bash", "-c", script]).exitCode).toBe(0);
    let kind = "";
    try {
      await told(s, "c");
    } catch (error) {
      kind = errorKind(error);
    }
    expect(kind).toBe("invalid");
  });

  test("openRoot() shows the merged tree, mounted and unmounted, and leaves no mount", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    const base = await makeLayer(s, null, "base", files({ a: "a", b: "b" }));
    await s.prepare("c", base);
    const root = s.mount("c");
    unlinkSync(join(root, "a"));
    writeFileSync(join(root, "c"), "");
    const names = (): string[] => {
      using dir = s.openRoot("c");
      return [...walk(dir.fd)].map(({ path }) => path);
    };
    expect(names()).toEqual(["b", "c"]);
    s.unmount("c");
    expect(names()).toEqual(["b", "c"]);
    using late = s.openRoot("c");
    expect(readdirSync(join(tmp.path, "s", "drafts"))).toEqual([]);
    s.remove("c");
    expect([...walk(late.fd)].map(({ path }) => path)).toContain("b");
  });

  test("diff() and openRoot() of a missing key are refused", async () => {
    using tmp = temporaryDirectory();
    const s = start(tmp.path);
    expect(() => s.openRoot("x")).toThrow("does not exist");
    expect(s.diff("x").next()).rejects.toThrow("does not exist");
  });
}
