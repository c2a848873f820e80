import { closeSync, openSync, readFileSync, readSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { DhowError, errorMessage, type TarEntryInit, type TarInput, writeTar } from "../../lib/mod.ts";
import type { Report } from "../progress.ts";
import type { DistroRootfs } from "./rootfs.ts";
import { findProgram, runTool, type ToolOptions } from "./tool.ts";

const PACKAGE = "busybox-static";
const INSTALLED = ["/usr/bin/busybox", "/bin/busybox"];
const DIRECTORIES: readonly (readonly [string, number])[] = [
  ["bin", 0o755],
  ["dev", 0o755],
  ["etc", 0o755],
  ["home", 0o755],
  ["proc", 0o755],
  ["root", 0o700],
  ["run", 0o755],
  ["sys", 0o755],
  ["tmp", 0o1777],
  ["usr", 0o755],
  ["usr/bin", 0o755],
  ["usr/sbin", 0o755],
  ["var", 0o755],
  ["var/spool", 0o755],
  ["var/spool/mail", 0o755],
  ["var/tmp", 0o1777],
  ["var/www", 0o755],
];
const USERS: readonly (readonly [name: string, id: number, home: string, shell: string])[] = [
  ["root", 0, "/root", "/bin/sh"],
  ["daemon", 1, "/usr/sbin", "/bin/false"],
  ["bin", 2, "/bin", "/bin/false"],
  ["sys", 3, "/dev", "/bin/false"],
  ["sync", 100, "/bin", "/bin/sync"],
  ["mail", 8, "/var/spool/mail", "/bin/false"],
  ["www-data", 33, "/var/www", "/bin/false"],
  ["operator", 37, "/var", "/bin/false"],
  ["nobody", 65534, "/home", "/bin/false"],
];
const GROUPS: readonly (readonly [name: string, id: number])[] = [
  ["root", 0],
  ["daemon", 1],
  ["bin", 2],
  ["sys", 3],
  ["adm", 4],
  ["tty", 5],
  ["disk", 6],
  ["wheel", 10],
  ["mail", 8],
  ["audio", 29],
  ["www-data", 33],
  ["operator", 37],
  ["video", 44],
  ["users", 100],
  ["nobody", 65534],
];

/** Whether the file is an ELF executable without an interpreter: one that runs in an empty root. @see elf(5) */
export function isStaticExecutable(path: string): boolean {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    const header = Buffer.alloc(4096);
    const length = readSync(fd, header, 0, header.length, 0);
    if (length < 64 || header.toString("latin1", 0, 4) !== "\x7fELF" || header[4] !== 2 || header[5] !== 1) return false;
    const tableAt = Number(header.readBigUInt64LE(32));
    const entrySize = header.readUInt16LE(54);
    const count = header.readUInt16LE(56);
    if (tableAt + entrySize * count > length) return false;
    const PT_INTERP = 3;
    return Array.from({ length: count }, (_, i) => header.readUInt32LE(tableAt + i * entrySize)).every((type) => type !== PT_INTERP);
  } finally {
    closeSync(fd);
  }
}

/** Downloads the package with lists of its own, when the machine's lists are missing or old. */
async function downloadWithOwnLists(apt: string, options: ToolOptions): Promise<void> {
  const state = join(options.cwd, "apt-state");
  const dirs = [
    "-o",
    `Dir::State=${state}`,
    "-o",
    `Dir::Cache=${state}`,
    "-o",
    "Dir::State::status=/var/lib/dpkg/status",
    "-o",
    "APT::Sandbox::User=root",
  ];
  await runTool(["mkdir", "-p", join(state, "lists/partial"), join(state, "archives/partial")], options);
  await runTool([apt, ...dirs, "-q", "update"], options);
  await runTool([apt, ...dirs, "-q", "download", PACKAGE], options);
}

async function download(report: Report, options: ToolOptions): Promise<string> {
  const apt = findProgram("apt-get");
  const dpkg = findProgram("dpkg-deb");
  if (!apt || !dpkg) {
    throw new DhowError(
      "unavailable",
      `make distro/busybox: there is no static busybox and no apt-get here; install the package ${PACKAGE}`,
    );
  }
  report({ status: "Downloading", id: PACKAGE, progressDetail: {} });
  try {
    await runTool([apt, "-q", "-o", "APT::Sandbox::User=root", "download", PACKAGE], options);
  } catch {
    options.signal.throwIfAborted();
    await downloadWithOwnLists(apt, options).catch((cause: unknown) => {
      options.signal.throwIfAborted();
      throw new DhowError(
        "unavailable",
        `make distro/busybox: download ${PACKAGE}: ${errorMessage(cause)}; install the package ${PACKAGE}`,
        { cause },
      );
    });
  }
  const file = (await readdir(options.cwd)).find((name) => name.startsWith(`${PACKAGE}_`) && name.endsWith(".deb"));
  if (file === undefined) throw new DhowError("unavailable", `make distro/busybox: apt-get brought no ${PACKAGE}`);
  const tree = join(options.cwd, "package");
  await runTool([dpkg, "-x", file, tree], options);
  report({ status: "Download complete", id: PACKAGE, progressDetail: {} });
  return INSTALLED.map((path) => join(tree, path)).find(isStaticExecutable) ?? join(tree, INSTALLED[0] ?? "");
}

function textFile(
  name: string,
  lines: readonly string[],
  mode: number,
): { readonly name: string; readonly mode: number; readonly data: Uint8Array } {
  return { name, mode, data: Buffer.from(lines.map((line) => `${line}\n`).join("")) };
}

function* tree(busybox: Uint8Array, applets: readonly string[], mtimeNs: bigint): Generator<TarInput> {
  const header = (init: TarEntryInit): TarInput => ({ entry: { ...init, mtimeNs } });
  const file = (f: { readonly name: string; readonly mode: number; readonly data: Uint8Array }): TarInput => ({
    entry: { type: "file", name: f.name, mode: f.mode, size: f.data.length, mtimeNs },
    payload: f.data,
  });
  for (const [name, mode] of DIRECTORIES) yield header({ type: "directory", name, mode });
  yield file({ name: "bin/busybox", mode: 0o755, data: busybox });
  for (const applet of applets) yield header({ type: "link", name: `bin/${applet}`, linkName: "bin/busybox", mode: 0o755 });
  yield header({ type: "symlink", name: "usr/bin/env", linkName: "../../bin/env", mode: 0o777 });
  yield file(
    textFile(
      "etc/passwd",
      USERS.map(([name, id, home, shell]) => `${name}:x:${id}:${name === "sync" ? 100 : id}:${name}:${home}:${shell}`),
      0o644,
    ),
  );
  yield file(
    textFile(
      "etc/group",
      GROUPS.map(([name, id]) => `${name}:x:${id}:`),
      0o644,
    ),
  );
  yield file(
    textFile(
      "etc/shadow",
      USERS.map(([name]) => `${name}:*:10933:0:99999:7:::`),
      0o640,
    ),
  );
}

/** A root of Debian's static busybox: every applet in /bin, the usual users and directories. @throws unavailable when no busybox can be had */
export async function busyboxRootfs(report: Report, options: ToolOptions): Promise<DistroRootfs> {
  const path = INSTALLED.find(isStaticExecutable) ?? (await download(report, options));
  const applets = (await runTool([path, "--list"], options)).split("\n").filter((name) => /^[\w[.+-]+$/.test(name) && name !== "busybox");
  const { mtimeMs } = statSync(path);
  const madeAt = new Date(Math.floor(mtimeMs / 1000) * 1000);
  return {
    tar: writeTar(tree(readFileSync(path), applets.sort(), BigInt(madeAt.getTime()) * 1_000_000n)),
    madeAt,
    command: ["sh"],
    madeBy: `# ${PACKAGE}`,
  };
}
