import { afterAll, afterEach, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, dockerCliMajor } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

const imageId = (name: string): Promise<string> => daemon.ok("image", "inspect", "-f", "{{.Id}}", name);
const fails = async (...args: readonly string[]): Promise<string> => {
  const { stderr, exitCode } = await daemon.docker(...args);
  expect(exitCode).not.toBe(0);
  return stderr;
};
/** A small image of a tree with one file. */
async function importTree(name: string, content: string, ...options: readonly string[]): Promise<string> {
  const dir = join(daemon.dir, "trees", name.replaceAll(/[^a-z0-9]/g, "-"));
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "file"), content);
  const tar = Bun.spawnSync(["tar", "-c", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C", dir, "."]).stdout;
  const { stdout, stderr, exitCode } = await daemon.dockerWith({ stdin: new Uint8Array(tar) }, "import", ...options, "-", name);
  if (exitCode !== 0) throw new Error(stderr);
  return stdout.trim();
}

test("ls, by name, quiet, digests, filters", async () => {
  const id = await imageId("busybox");
  expect(await daemon.ok("images", "-q", "--no-trunc", "busybox")).toBe(id);
  expect(await daemon.ok("images", "-q", "nosuch")).toBe("");
  const table =
    dockerCliMajor < 29
      ? /^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE\nbusybox +latest +[0-9a-f]{12} .*MB$/
      : /^IMAGE +ID +DISK USAGE +CONTENT SIZE +EXTRA\nbusybox:latest +[0-9a-f]{12} +[\d.]+MB +/;
  expect(await daemon.ok("images", "busybox")).toMatch(table);
  expect((await daemon.ok("images", "--digests")).split("\n")[0]).toContain("DIGEST");
  const second = await importTree("two:1", "2", "-c", "LABEL kind=test");
  expect(await daemon.ok("images", "-q", "--no-trunc", "--filter", "label=kind=test")).toBe(second);
  expect(await daemon.ok("images", "-q", "--no-trunc", "--filter", "reference=tw*:*")).toBe(second);
  expect(await daemon.ok("images", "-q", "--no-trunc", "--filter", "since=busybox")).toBe(second);
  expect(await daemon.ok("images", "-q", "--no-trunc", "--filter", "before=two:1")).toBe(id);
  expect(await fails("images", "--filter", "foo=bar")).toContain("invalid filter 'foo'");
  await daemon.ok("rmi", "two:1");
});

test("tag moves; what loses its last name dangles", async () => {
  const first = await importTree("mine:1", "one");
  const second = await importTree("other:1", "two");
  await daemon.ok("tag", "other:1", "mine:1");
  expect(await imageId("mine:1")).toBe(second);
  expect(await daemon.ok("images", "-q", "--no-trunc", "--filter", "dangling=true")).toBe(first);
  expect(await daemon.ok("images", "--filter", "dangling=true", "--format", "{{.Repository}}:{{.Tag}}")).toBe("<none>:<none>");
  expect(await daemon.ok("image", "prune", "-f")).toContain(`deleted: ${first}`);
  expect(await daemon.ok("rmi", "other:1", "mine:1")).toContain(`Deleted: ${second}`);
});

test("names: docker's forms and refusals", async () => {
  await daemon.ok("tag", "busybox", "docker.io/library/full:1");
  expect(await daemon.ok("images", "full", "--format", "{{.Repository}}:{{.Tag}}")).toBe("full:1");
  await daemon.ok("rmi", "docker.io/full:1");
  await daemon.ok("tag", "busybox", "registry.example:5000/a/b:c");
  await daemon.ok("rmi", "registry.example:5000/a/b:c");
  expect(await fails("tag", "nosuch", "x")).toContain("No such image: nosuch:latest");
  expect(await fails("tag", "busybox", "UPPER")).toMatch(/repository name (\(library\/UPPER\) )?must be lowercase/);
  expect(await fails("tag", "busybox", "a:b:c")).toContain("invalid reference format");
  expect(await fails("run", "UPPER")).toMatch(/repository name (\(library\/UPPER\) )?must be lowercase/);
  expect(await fails("image", "inspect", "nosuch")).toMatch(/No such image: nosuch(:latest)?\n/);
});

test("by id, by its beginning, with two parts", async () => {
  const id = (await imageId("busybox")).replace("sha256:", "");
  for (const ref of [id, `sha256:${id}`, id.slice(0, 12), `sha256:${id.slice(0, 12)}`]) {
    expect(await daemon.ok("run", "--rm", ref, "echo", "hi")).toBe("hi");
  }
});

test("rmi: untag, delete, in use, forced", async () => {
  await importTree("used:1", "used", "-c", 'CMD ["/file"]');
  await daemon.ok("tag", "used:1", "used:2");
  expect(await daemon.ok("rmi", "used:2")).toBe("Untagged: used:2");
  const container = (await daemon.ok("create", "--name", "holder", "used:1")).slice(0, 12);
  expect(await fails("rmi", "used:1")).toContain(
    `conflict: unable to remove repository reference "used:1" (must force) - container ${container} is using its referenced image`,
  );
  const id = (await imageId("used:1")).slice("sha256:".length, "sha256:".length + 12);
  await daemon.ok("tag", "used:1", "used:3");
  expect(await fails("rmi", id)).toContain(
    `conflict: unable to delete ${id} (must be forced) - image is referenced in multiple repositories`.slice(0, 40),
  );
  expect(await daemon.ok("rmi", "-f", "used:1", "used:3")).toContain("Untagged: used:1");
  await daemon.ok("rm", "holder");
  expect(await fails("rmi", "nosuch")).toContain("No such image: nosuch");
  await daemon.docker("image", "prune", "-f");
});

test("an image that a running container uses stays", async () => {
  await daemon.ok("tag", "busybox", "alias:1");
  await daemon.ok("run", "-d", "--name", "runs", "busybox", "sleep", "1000");
  const id = (await imageId("busybox")).slice("sha256:".length, "sha256:".length + 12);
  const error = await fails("rmi", "-f", id);
  expect(error).toContain(`conflict: unable to delete ${id} (cannot be forced) - image is being used by running container`);
  await daemon.ok("rmi", "alias:1");
});

test("history and inspect", async () => {
  await importTree(
    "told:1",
    "told",
    "-m",
    "a message",
    "-c",
    "ENV A=b",
    "-c",
    'CMD ["/file"]',
    "-c",
    "EXPOSE 80",
    "-c",
    "USER 5",
    "-c",
    "WORKDIR /w",
    "-c",
    "VOLUME /v",
  );
  expect(await daemon.ok("history", "--format", "{{.Comment}}|{{.Size}}", "told:1")).toMatch(/^a message\|\d+B$/);
  const { json } = await daemon.api<{ Config: object; RootFS: object; Comment: string }>("GET", "/images/told:1/json");
  expect(json.Config).toMatchObject({
    Env: ["A=b"],
    Cmd: ["/file"],
    ExposedPorts: { "80/tcp": {} },
    User: "5",
    WorkingDir: "/w",
    Volumes: { "/v": {} },
  });
  expect(json.RootFS).toMatchObject({ Type: "layers" });
  await daemon.ok("rmi", "told:1");
});

test("save and load: several images in one archive, by file and by pipe", async () => {
  const first = await importTree("saved:1", "one");
  const second = await importTree("saved:2", "two");
  const file = join(daemon.dir, "two.tar");
  await daemon.ok("save", "-o", file, "saved:1", "saved:2");
  await daemon.ok("rmi", "saved:1", "saved:2");
  expect(await daemon.ok("load", "-i", file)).toBe("Loaded image: saved:1\nLoaded image: saved:2");
  expect([await imageId("saved:1"), await imageId("saved:2")]).toEqual([first, second]);
  const child = daemon.spawn({}, "save", "saved:1");
  const bytes = new Uint8Array(await new Response(child.stdout).arrayBuffer());
  await daemon.ok("rmi", "saved:1", "saved:2");
  for (const [name, packed] of [
    ["plain", bytes],
    ["gzip", Bun.gzipSync(bytes)],
    ["zstd", Bun.zstdCompressSync(bytes)],
  ] as const) {
    const { stdout, stderr } = await daemon.dockerWith({ stdin: new Uint8Array(packed) }, "load");
    expect(`${name}: ${stdout}${stderr}`).toBe(`${name}: Loaded image: saved:1\n`);
    expect(await imageId("saved:1")).toBe(first);
    await daemon.ok("rmi", "saved:1");
  }
});

test("a loaded image runs as the saved one did, and is saved the same", async () => {
  const before = await imageId("busybox");
  const file = join(daemon.dir, "busybox.tar");
  await daemon.ok("save", "-o", file, "busybox");
  await daemon.ok("rmi", "busybox");
  expect(await daemon.ok("load", "-q", "-i", file)).toBe("Loaded image: busybox:latest");
  expect(await imageId("busybox")).toBe(before);
  expect(await daemon.ok("run", "--rm", "busybox", "echo", "alive")).toBe("alive");
  const again = join(daemon.dir, "again.tar");
  await daemon.ok("save", "-o", again, "busybox");
  expect(Bun.hash(readFileSync(again))).toBe(Bun.hash(readFileSync(file)));
});

test("load refuses what is no archive of images", async () => {
  for (const junk of ["", "foo", "x".repeat(2048)]) {
    const { stdout, stderr, exitCode } = await daemon.dockerWith({ stdin: junk }, "load");
    expect(exitCode).not.toBe(0);
    expect(stdout + stderr).not.toBe("");
  }
  expect(await fails("save", "nosuch")).toContain("No such image: nosuch");
  expect(await daemon.residue()).toEqual([]);
});

test("import: changes that are none", async () => {
  expect(await importTree("x:1", "x", "-c", "FOO bar").catch((error: Error) => error.message)).toContain("is not a valid change command");
});

test("pull of the distribution's own, and of what nobody has", async () => {
  const { stdout, exitCode } = await daemon.docker("pull", "distro/busybox");
  expect(exitCode).toBe(0);
  expect(stdout).toContain("docker.io/distro/busybox:latest");
  expect(await daemon.ok("run", "--rm", "distro/busybox", "echo", "made")).toBe("made");
  expect(await fails("pull", "distro/nosuch")).toContain("distro/nosuch");
});

test("the same content is on disk once", async () => {
  const count = async (): Promise<number> => (await daemon.api<{ LayersSize: number }>("GET", "/v1.50/system/df")).json.LayersSize;
  await importTree("same:1", "same content", "-c", "LABEL a=1");
  const size = await count();
  await importTree("same:2", "same content", "-c", "LABEL a=2");
  expect(await count()).toBe(size);
  await daemon.ok("rmi", "same:1", "same:2");
});
