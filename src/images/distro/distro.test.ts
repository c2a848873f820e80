import { describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ProgressMessage } from "../../spec/engine/mod.ts";
import { parseReference } from "../../spec/reference.ts";
import { formatSource, parseDeb822, parseOneLine, sourcesForSuite } from "./apt-sources.ts";
import { busyboxRootfs, isStaticExecutable } from "./busybox.ts";
import { PackageProgress } from "./package-progress.ts";
import { parseDistroSpec } from "./spec.ts";
import { findProgram, runTool, type ToolOptions } from "./tool.ts";

function tools(cwd: string, signal: AbortSignal = new AbortController().signal): ToolOptions {
  return { cwd, signal, environment: {}, onLine: () => {} };
}

async function inTemporary<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), "dhow-distro-"));
  try {
    return await work(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

describe("parseDistroSpec()", () => {
  const spec = (text: string): ReturnType<typeof parseDistroSpec> => parseDistroSpec(parseReference(text));

  test("reads distributions, suites and -slim", () => {
    expect(spec("distro/busybox")).toEqual({ kind: "busybox" });
    expect(spec("distro/debian:bookworm")).toEqual({ kind: "system", distro: "debian", suite: "bookworm", isSlim: false });
    expect(spec("distro/debian:trixie-slim")).toEqual({ kind: "system", distro: "debian", suite: "trixie", isSlim: true });
    expect(spec("distro/ubuntu:noble")).toEqual({ kind: "system", distro: "ubuntu", suite: "noble", isSlim: false });
  });

  for (const text of [
    "distro/alpine",
    "distro/busybox:1.36",
    "distro/debian:-x".replace(":-", ":_"),
    `distro/debian@sha256:${"a".repeat(64)}`,
  ]) {
    test(`refuses ${text.slice(0, 40)}`, () => expect(() => spec(text)).toThrow(/^No such image: distro\//));
  }
});

describe("apt sources", () => {
  test("are read in both forms", () => {
    expect(
      parseOneLine("# x\ndeb [arch=amd64 signed-by=/k.gpg] http://a/debian bookworm main contrib # y\ndeb-src http://a/ b main\n"),
    ).toEqual([{ uri: "http://a/debian", suite: "bookworm", components: ["main", "contrib"], signedBy: "/k.gpg" }]);
    const text =
      "Types: deb deb-src\n# c\nURIs: http://a/debian\nSuites: bookworm\n bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\nTypes: deb\nEnabled: no\nURIs: http://b\nSuites: x\n";
    expect(parseDeb822(text)).toEqual([
      { uri: "http://a/debian", suite: "bookworm", components: ["main"], signedBy: "/k.gpg" },
      { uri: "http://a/debian", suite: "bookworm-updates", components: ["main"], signedBy: "/k.gpg" },
    ]);
  });

  test("are turned to another suite", () => {
    const host = parseOneLine(
      "deb http://a/d bookworm main\ndeb http://a/d bookworm-updates main\ndeb http://s/d bookworm-security main\ndeb http://x nodistro main",
    );
    expect(sourcesForSuite(host, "bookworm", "trixie").map((s) => formatSource(s, ["main"]))).toEqual([
      "deb http://a/d trixie main",
      "deb http://a/d trixie-updates main",
      "deb http://s/d trixie-security main",
    ]);
    expect(sourcesForSuite(host, "bookworm", "sid").map((s) => s.suite)).toEqual(["sid"]);
  });
});

test("PackageProgress counts packages by phase", () => {
  const seen: ProgressMessage[] = [];
  const progress = new PackageProgress((message) => seen.push(message));
  for (const line of [
    "I: running apt-get update...",
    "Get:1 http://a/debian bookworm InRelease [151 kB]",
    "I: downloading packages with apt...",
    "0 upgraded, 2 newly installed, 0 to remove and 0 not upgraded.",
    "Get:1 http://a/debian bookworm/main amd64 libc6 amd64 2.36-9 [2759 kB]",
    "I: installing essential packages...",
    "Unpacking libc6:amd64 (2.36-9) ...",
    "Setting up libc6:amd64 (2.36-9) ...",
  ]) {
    progress.read(line);
  }
  expect(seen.map(({ id, progressDetail }) => [id, progressDetail?.current, progressDetail?.total])).toEqual([
    ["index", undefined, undefined],
    ["download", undefined, undefined],
    ["download", 1, 2],
    ["configure", undefined, undefined],
    ["unpack", 1, 2],
    ["configure", 1, 2],
  ]);
});

test.skipIf(!["/usr/bin/busybox", "/bin/busybox"].some(isStaticExecutable))("busyboxRootfs() makes a root that works, twice the same", () =>
  inTemporary(async (directory) => {
    const build = async (): Promise<Buffer> => {
      const chunks: Uint8Array[] = [];
      for await (const chunk of (await busyboxRootfs(() => {}, tools(directory))).tar) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    const tar = await build();
    expect((await build()).equals(tar)).toBe(true);
    const file = join(directory, "x.tar");
    writeFileSync(file, tar);
    const list = spawnSync("tar", ["tvf", file], { encoding: "utf8" });
    expect(list.status).toBe(0);
    expect(list.stdout).toMatch(/^drwxrwxrwt 0\/0 .* tmp\/$/m);
    expect(list.stdout).toMatch(/^hrwxr-xr-x 0\/0 .* bin\/sh link to bin\/busybox$/m);
    const root = join(directory, "root");
    spawnSync("mkdir", [root]);
    expect(spawnSync("tar", ["xf", file, "-C", root]).status).toBe(0);
    if (process.getuid?.() !== 0) return;
    const ran = spawnSync("chroot", [root, "/bin/sh", "-c", "id -un && ls -d /tmp"], { encoding: "utf8" });
    expect(ran.stdout).toBe("root\n/tmp\n");
  }),
);

describe("Tool", () => {
  test("names what failed", () =>
    inTemporary(async (directory) => {
      const failing = runTool(["sh", "-c", "echo 'E: no such suite' >&2; exit 7"], tools(directory));
      await expect(failing).rejects.toThrow("sh failed (exit code 7): E: no such suite");
    }));

  test("ends its whole process group when cancelled", () =>
    inTemporary(async (directory) => {
      const abort = new AbortController();
      const marker = `86${process.pid}`;
      const running = runTool(["sh", "-c", `sleep ${marker} & sleep ${marker}; true`], tools(directory, abort.signal));
      await Bun.sleep(50);
      abort.abort(new Error("cancelled"));
      await expect(running).rejects.toThrow("cancelled");
      const left = readdirSync("/proc").filter(
        (pid) => /^\d+$/.test(pid) && spawnSync("cat", [`/proc/${pid}/cmdline`], { encoding: "utf8" }).stdout.includes(`sleep\0${marker}`),
      );
      expect(left).toEqual([]);
    }));

  test("finds programs outside PATH", () => expect(findProgram("sh")).toMatch(/\/sh$/));
});
