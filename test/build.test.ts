/** The compiled executable stands alone: no Node, no checkout, nothing of the directory it is called in. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const place = mkdtempSync(join(tmpdir(), "dhow-build-"));
const dhow = join(place, "dhow");

afterAll(() => rmSync(place, { recursive: true, force: true }));

beforeAll(() => {
  const script = join(import.meta.dir, "..", "scripts", "build.ts");
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, script, `--out=${place}`, process.arch]);
  if (exitCode !== 0) throw new Error(stderr.toString());
  // Both would stop the program, or change it, if it looked at them.
  writeFileSync(join(place, "bunfig.toml"), 'preload = ["./not-there.ts"]\n');
  writeFileSync(join(place, ".env"), "DHOW_ARGV0=dockerd\n");
});

function call(name: string, ...argv: readonly string[]): { readonly exitCode: number; readonly text: string } {
  const { exitCode, stdout, stderr } = Bun.spawnSync([join(place, name), ...argv], { cwd: place, env: {}, stdin: "ignore" });
  return { exitCode, text: `${stdout}${stderr}` };
}

test("dhow --version is the command line's", () => {
  const { exitCode, text } = call("dhow", "--version");
  expect(text).toMatch(/version \d+\.\d+/);
  expect(exitCode).toBe(0);
});

test("by the name docker it is the command line, by the name dockerd the daemon", () => {
  symlinkSync(dhow, join(place, "docker"));
  symlinkSync(dhow, join(place, "dockerd"));
  expect(call("docker", "--help").text).toContain("COMMAND");
  expect(call("dockerd", "--help").text).toContain("--data-root");
  expect(call("dhow", "daemon", "--help").text).toContain("--data-root");
});
