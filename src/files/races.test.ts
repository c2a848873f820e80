/** Another process exchanges a directory for a link that leads out, as fast as it can, while files go in and out. */
import { expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isErrno } from "../linux/mod.ts";
import { put, take, temporaryDirectory, viewOf } from "./test-support.ts";

const ROUNDS = 400;

/** Runs the swapper on two names in `dir`. */
async function swapping(dir: string, one: string, other: string): Promise<Disposable> {
  const child = Bun.spawn(
    [process.execPath, "--no-env-file", "--config=/dev/null", join(import.meta.dir, "testdata/swapper.ts"), dir, one, other],
    { stdout: "pipe", stderr: "inherit" },
  );
  await child.stdout.getReader().read();
  return { [Symbol.dispose]: () => child.kill("SIGKILL") };
}

/** What may go wrong in a tree that changes: a path that isn't there, or isn't what it was. */
function isOfTheTree(error: unknown): boolean {
  return isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "EEXIST", "ENOTEMPTY", "EINVAL") || String(error).includes("cannot overwrite");
}

for (const target of ["absolute", "relative"] as const) {
  test(`nothing outside is read or written through an exchanged ${target} link`, async () => {
    using outside = temporaryDirectory();
    const root = join(outside.path, "root");
    const secrets = join(outside.path, "secrets");
    mkdirSync(join(root, "dir/sub"), { recursive: true });
    mkdirSync(join(secrets, "sub"), { recursive: true });
    writeFileSync(join(root, "dir/sub/file"), "inside");
    for (const name of ["sub/file", "only"]) writeFileSync(join(secrets, name), "SECRET");
    symlinkSync(target === "absolute" ? secrets : "../../../../../../../..".concat(secrets), join(root, "link"));
    using swapper = await swapping(root, "dir", "link");
    expect(swapper).toBeDefined();
    const seen = new Set<string>();
    let failures = 0;
    for (let round = 0; round < ROUNDS; round++) {
      using view = viewOf(root);
      try {
        for (const path of ["/dir/", "/dir/sub/file", "/dir/only"]) {
          for (const { content } of (await take(view, path)).values()) seen.add(content);
        }
      } catch (error) {
        if (!isOfTheTree(error)) throw error;
        failures++;
      }
      try {
        await put(view, "/", [
          { name: "dir/sub/new", data: "x" },
          { name: "dir/made/deep/x", data: "x" },
          { name: "dir/sub/hard", type: "link", linkName: "dir/sub/file" },
        ]);
      } catch (error) {
        if (!isOfTheTree(error)) throw error;
        failures++;
      }
    }
    // both were met: the directory, and the link in its place
    expect(seen.has("inside")).toBe(true);
    expect(failures).toBeGreaterThan(0);
    expect([...seen].some((content) => content.includes("SECRET"))).toBe(false);
    expect(readdirSync(secrets).sort()).toEqual(["only", "sub"]);
    expect(readdirSync(join(secrets, "sub"))).toEqual(["file"]);
    expect(readFileSync(join(secrets, "sub/file"), "utf8")).toBe("SECRET");
  });
}
