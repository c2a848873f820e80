import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fstat, O_CREAT, O_EXCL, O_RDONLY, O_WRONLY, open } from "../linux/mod.ts";
import { ContentCopier, type ContentCopierOptions } from "./content-copier.ts";
import { temporaryDirectory } from "./test-support.ts";

const MEBIBYTE = 1 << 20;

async function copy(from: string, to: string, options: ContentCopierOptions): Promise<void> {
  using stack = new DisposableStack();
  const source = stack.use(open(from, O_RDONLY));
  const target = stack.use(open(to, O_WRONLY | O_CREAT | O_EXCL, 0o600));
  await new ContentCopier(options).copy(source.fd, target.fd, fstat(source.fd));
}

test("copies small and large files, breathes between the pieces, and says how many bytes there are", async () => {
  using tmp = temporaryDirectory();
  for (const [name, size] of [
    ["empty", 0],
    ["small", 5000],
    ["large", 20 * MEBIBYTE],
  ] as const) {
    const [from, to] = [join(tmp.path, name), join(tmp.path, `${name}-copy`)];
    writeFileSync(from, randomBytes(size));
    let bytes = 0;
    let breaths = 0;
    const onBytes = (more: number): void => {
      bytes += more;
    };
    await copy(from, to, { onBytes, breathe: () => void breaths++ });
    expect(readFileSync(to).equals(readFileSync(from))).toBe(true);
    expect(bytes).toBe(size);
    await copy(from, `${to}-untold`, { breathe: () => undefined });
    expect(readFileSync(`${to}-untold`).equals(readFileSync(from))).toBe(true);
    // a file system that shares blocks has nothing to copy
    if (name === "large" && breaths > 0) expect(breaths).toBeGreaterThan(1);
  }
});

test("holes stay holes", async () => {
  using tmp = temporaryDirectory();
  const [from, to] = [join(tmp.path, "from"), join(tmp.path, "to")];
  writeFileSync(from, "begin");
  truncateSync(from, 1024 * MEBIBYTE);
  writeFileSync(from, "end", { flag: "a" });
  await copy(from, to, { breathe: () => undefined });
  expect(statSync(to).size).toBe(1024 * MEBIBYTE + 3);
  expect(statSync(to).blocks).toBe(statSync(from).blocks);
});

test("ends when it is told to", async () => {
  using tmp = temporaryDirectory();
  const from = join(tmp.path, "from");
  writeFileSync(from, randomBytes(20 * MEBIBYTE));
  const stop = (): never => {
    throw new Error("no longer wanted");
  };
  const copied = copy(from, join(tmp.path, "to"), { breathe: stop });
  // where blocks are shared there is nothing to end
  await copied.catch((error: unknown) => expect(String(error)).toContain("no longer wanted"));
});
