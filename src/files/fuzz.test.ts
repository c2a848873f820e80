/** Archives that nobody should make, put into a directory: nothing outside of the view changes, and what is refused is refused in our words. */
import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { breather, DhowError } from "../lib/mod.ts";
import { oddEntry } from "../lib/tar/test-support.ts";
import { SysError } from "../linux/mod.ts";
import { extract } from "./extract.ts";
import { isRoot, temporaryDirectory, viewOf } from "./test-support.ts";

const RUNS = {
  interruptAfterTimeLimit: Number(process.env["DHOW_FUZZ_MS"] ?? 2_500),
  numRuns: Number(process.env["DHOW_FUZZ_RUNS"] ?? 400),
};

const parts = fc.constantFrom("a", "b", "c", "..", ".", "", "up", "out", "loop");
const names = fc.array(parts, { minLength: 1, maxLength: 4 }).map((all) => all.join("/"));

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

const openFiles = (): number => readdirSync("/proc/self/fd").length;

test.skipIf(!isRoot)(
  "extract() of any blocks changes nothing outside (skipped without root: devices)",
  async () => {
    using outside = temporaryDirectory();
    const secret = join(outside.path, "secret");
    writeFileSync(secret, "secret");
    const targets = fc.oneof(names, fc.constantFrom("/", "../../..", outside.path, secret, "a", "x".repeat(99)));
    const before = openFiles();
    await fc.assert(
      fc.asyncProperty(
        fc.array(oddEntry(names, targets), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 100, max: 4000 }),
        fc.boolean(),
        async (entries, size, isOwned) => {
          using scratch = temporaryDirectory();
          const root = join(scratch.path, "root");
          mkdirSync(join(root, "d/a"), { recursive: true });
          writeFileSync(join(root, "kept"), "kept");
          symlinkSync("../../../../../..", join(root, "d/up"));
          symlinkSync(outside.path, join(root, "d/out"));
          symlinkSync("loop", join(root, "d/loop"));
          using view = viewOf(root);
          const archive = Buffer.concat([...entries, Buffer.alloc(1024)]);
          try {
            const options = { signal: new AbortController().signal, breathe: breather(), noOverwriteDirNonDir: false } as const;
            await extract(pieces(archive, size), view, "/d", { ...options, owner: isOwned ? "archive" : "caller" });
          } catch (error) {
            if (!(error instanceof DhowError) && !(error instanceof SysError)) throw error;
          }
          expect(readdirSync(scratch.path)).toEqual(["root"]);
        },
      ),
      RUNS,
    );
    expect(readdirSync(outside.path)).toEqual(["secret"]);
    expect(readFileSync(secret, "utf8")).toBe("secret");
    expect(existsSync("/a")).toBe(false);
    // when its time is over, the run that is under way goes on
    for (let i = 0; i < 500 && openFiles() > before + 1; i++) await Bun.sleep(10);
    expect(openFiles()).toBeLessThanOrEqual(before + 1);
  },
  90_000,
);
