import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Container, connect, DhowError } from "../../../src/index.ts";
import { Daemon } from "../daemon.ts";

let daemon: Daemon;
let box: Container;

beforeAll(async () => {
  daemon = await Daemon.start();
  box = await connect({ host: daemon.host }).containers.run({ image: "busybox", command: ["sleep", "1000"], network: "none" });
  await box
    .exec("mkdir -p /d/sub && echo text >/d/file && ln -s file /d/link && ln -s /nowhere /d/broken && mkfifo /d/fifo && chmod 4750 /d/sub")
    .text();
});

afterAll(async () => {
  await box?.[Symbol.asyncDispose]();
  await daemon?.[Symbol.asyncDispose]();
});

async function failure(call: Promise<unknown>): Promise<DhowError> {
  const error = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof DhowError)) throw new Error(`wanted a DhowError, got ${error}`);
  return error;
}

test("read follows links, and takes files only", async () => {
  expect(await box.files.readText("/d/link")).toBe("text\n");
  expect(await box.files.readText("d/file")).toBe("text\n");
  expect(await failure(box.files.read("/d"))).toMatchObject({ kind: "invalid", message: "read /d: is a directory" });
  expect(await failure(box.files.read("/d/fifo"))).toMatchObject({ kind: "invalid", message: "read /d/fifo: is a fifo" });
  expect((await failure(box.files.read("/d/none"))).kind).toBe("notFound");
  expect((await failure(box.files.read("/d/broken"))).kind).toBe("notFound");
});

test("stat and readDir tell kinds, modes and targets", async () => {
  expect(await box.files.stat("/d/sub")).toMatchObject({ name: "sub", kind: "directory", mode: 0o4750, linkTarget: "" });
  expect(await box.files.stat("/d/link")).toMatchObject({ kind: "symlink", linkTarget: "/d/file" });
  const entries = await box.files.readDir("/d/");
  expect(entries.map(({ name, kind, linkTarget }) => `${name} ${kind} ${linkTarget}`.trim())).toEqual([
    "broken symlink /nowhere",
    "fifo fifo",
    "file file",
    "link symlink file",
    "sub directory",
  ]);
  expect((await box.files.readDir("/")).map(({ name }) => name)).toContain("d");
});

test("write makes directories, keeps those that are there, replaces files", async () => {
  await box.files.write("/d/sub/a/b", "1", { mode: 0o600, uid: 7, gid: 8, mtime: new Date(1000) });
  await box.files.write("/d/sub/a/b", "22", { mode: 0o640, uid: 7, gid: 8, mtime: new Date(1_000_000) });
  expect(await box.exec("stat -c '%a %u %g %s %Y' /d/sub/a/b; stat -c %a /d/sub").text()).toBe("640 7 8 2 1000\n4750\n");
  await box.files.makeDir("/d/made/deep", { mode: 0o700 });
  await box.files.makeDir("/d/sub");
  expect(await box.exec("stat -c %a /d/made /d/made/deep /d/sub").text()).toBe("755\n700\n4750\n");
  expect((await failure(box.files.write("/d/", "x"))).kind).toBe("invalid");
  expect((await failure(box.files.write("/d/file/x", "x"))).kind).not.toBe("internal");
});

test("streams of any length go in and out", async () => {
  const writer = box.files.writeStream("/d/stream").getWriter();
  const piece = new Uint8Array(1_000_000).fill(7);
  for (let i = 0; i < 9; i++) await writer.write(piece);
  await writer.close();
  const bytes = await box.files.read("/d/stream");
  expect(bytes.length).toBe(9_000_000);
  expect(bytes.every((byte) => byte === 7)).toBe(true);
  const reader = box.files.readStream("/d/stream").getReader();
  expect((await reader.read()).done).toBe(false);
  await reader.cancel();
  expect(await box.files.readText("/d/file")).toBe("text\n");
});

test("an aborted stream leaves no file", async () => {
  const writer = box.files.writeStream("/d/aborted").getWriter();
  await writer.write(new Uint8Array(10));
  await writer.abort(new Error("no more"));
  expect(await box.files.exists("/d/aborted")).toBe(false);
});

test("a failing stream tells its writer", async () => {
  await using gone = await connect({ host: daemon.host }).containers.create({ image: "busybox" });
  await gone.remove();
  expect((await failure(new Blob(["x"]).stream().pipeTo(gone.files.writeStream("/x")))).kind).toBe("notFound");
});
