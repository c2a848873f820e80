/** Processes written to files by CRIU and started again from there, through the OCI runtime. */
import { existsSync, readFileSync, readlinkSync, renameSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DhowError } from "../../lib/mod.ts";
import { BUNDLE } from "./holder.ts";
import { runtimeErrors } from "./oci-error.ts";
import type { RuntimeCommand } from "./runtimes.ts";

/** Files of a checkpoint besides CRIU's. */
const CHECKPOINT = {
  /** What it is of, as JSON. */
  config: "config.json",
  /** CRIU writes it first: without it there is nothing to restore. */
  inventory: "inventory.img",
  dumpLog: "dump.log",
  restoreLog: "restore.log",
  log: "runtime.log",
} as const;

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A standard stream that a container got from outside of its file system: CRIU has to be told of it by the name that it has there. */
interface OutsideStream {
  readonly fd: number;
  readonly name: string;
}

/** The part of a checkpoint's `config.json` that is read again. */
interface CheckpointConfig {
  readonly runtime: string;
  readonly streams: readonly OutsideStream[];
}

export interface CheckpointOptions {
  readonly id: string;
  /** Of the container's init, which is known to live. */
  readonly pid: number;
  readonly runtime: string;
  /** Where it will be; there is nothing there. */
  readonly dir: string;
  /** An empty directory in the same file system, in which it is made; it is gone afterwards, whatever happens. */
  readonly unfinished: string;
  readonly leaveRunning: boolean;
  /** What to note in its `config.json`, for people. */
  readonly about: Readonly<Record<string, unknown>>;
}

// "$@" is the runtime's command line. What is begun comes to its end without the daemon: then the processes may be in these files only.
const SCRIPT = `part=$1 whole=$2; shift 2; "$@" >/dev/null 2>&1 && mv -T "$part" "$whole" && exit 0
cat "$part/${CHECKPOINT.log}"; grep -a Error "$part/${CHECKPOINT.dumpLog}"; rm -rf "$part"; exit 1`;

/** Writes a container's processes to files. @throws unsupported for what is missing here, internal in the runtime's and CRIU's words */
export async function writeCheckpoint(
  options: CheckpointOptions,
  bundle: { readonly dir: string; readonly command: RuntimeCommand },
): Promise<void> {
  const { pid, id, unfinished, leaveRunning } = options;
  const { command } = bundle;
  await checkCriu(command);
  linkNetns(bundle.dir, `/proc/${pid}/ns/net`);
  const streams = outsideStreams(pid);
  const config: CheckpointConfig = { runtime: options.runtime, streams };
  writeFileSync(join(unfinished, CHECKPOINT.config), JSON.stringify({ ...options.about, ...config }));
  const criu = join(bundle.dir, BUNDLE.criu);
  writeFileSync(criu, [...networkLock(), ...streams.map(({ name }) => `external ${name}`), ""].join("\n"));
  const log = join(unfinished, CHECKPOINT.log);
  const line = command.checkpoint(id, { images: unfinished, work: unfinished, log, leaveRunning });
  // who holds the lock on the directory is at work in it
  const shell = ["flock", unfinished, "/bin/sh", "-c", SCRIPT, "dhow-checkpoint", unfinished, options.dir, ...line];
  const child = Bun.spawn(shell, { cwd: "/", env: criuEnv(criu), detached: true, stdio: ["ignore", "pipe", "ignore"] });
  const [output, exitCode] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  if (exitCode !== 0) throw new DhowError("internal", `${command.label} checkpoint failed: ${reason(output, output)}`);
}

/** What is needed to start a container's processes from a checkpoint. */
export interface Restoring {
  readonly line: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

/** Prepares the bundle `dir` for what is in `images`. @throws unsupported for what is missing here, invalid for what is no checkpoint of this runtime */
export async function prepareRestore(
  images: string,
  id: string,
  bundle: { readonly dir: string; readonly command: RuntimeCommand; readonly pidFile: string },
): Promise<Restoring> {
  const { dir, command, pidFile } = bundle;
  await checkCriu(command);
  const { streams } = readConfig(images);
  const criu = join(dir, BUNDLE.criu);
  // the addresses and the peers of connections are others by now: their ends are told so
  const inherited = streams.flatMap(({ fd, name }) => [`external ${name}`, `inherit-fd fd[${fd}]:${name}`]);
  writeFileSync(criu, [...networkLock(), "tcp-close", ...inherited, ""].join("\n"));
  return { line: command.restore(dir, id, { images, work: dir, log: join(dir, BUNDLE.log), pidFile }), env: criuEnv(criu) };
}

/** Why a restore failed, by what it left in the bundle `dir`. */
export function restoreFailure(dir: string, label: string): DhowError {
  const why = reason(readQuietly(join(dir, BUNDLE.log)), readQuietly(join(dir, CHECKPOINT.restoreLog)));
  const step = "failed to create task for container: failed to create shim task: OCI runtime restore failed";
  return new DhowError("internal", `${step}: ${label} restore failed: ${why}: unknown`);
}

/** Gives the network namespace of a container a path that can be kept: `path` is where it is found now. */
export function linkNetns(dir: string, path: string): void {
  const link = join(dir, BUNDLE.netns);
  symlinkSync(path, `${link}.new`);
  renameSync(`${link}.new`, link);
}

function readConfig(images: string): CheckpointConfig {
  if (!existsSync(join(images, CHECKPOINT.inventory)))
    throw new DhowError("invalid", `${images} is not a checkpoint: it has no ${CHECKPOINT.inventory}`);
  const text = readQuietly(join(images, CHECKPOINT.config));
  const config: unknown = text === "" ? {} : JSON.parse(text);
  return { runtime: "", streams: [], ...(typeof config === "object" ? config : {}) };
}

/** @throws unsupported in words that say what to do */
async function checkCriu(command: RuntimeCommand): Promise<void> {
  const missing = (message: string): DhowError => new DhowError("unsupported", message);
  const { label, program } = command;
  if (!command.isCrun && !label.includes("runc")) throw missing(`the runtime ${label} has no checkpoints here: runc and crun do`);
  if (command.isCrun) {
    const child = Bun.spawn([program, "--version"], { env: {}, stdio: ["ignore", "pipe", "ignore"] });
    const [version] = await Promise.all([new Response(child.stdout).text(), child.exited]);
    if (!version.includes("+CRIU"))
      throw missing(`this ${label} is built without CRIU; a container of runc (--runtime runc) can have checkpoints`);
  }
  if (Bun.which("criu", { PATH: searchPath() }) === null) throw missing("criu is not installed");
}

function searchPath(): string {
  return process.env["PATH"] ?? DEFAULT_PATH;
}

/** CRIU reads a file of further options, for which runtimes have none of their own. @see criu(8), CONFIGURATION FILES */
function criuEnv(config: string): Record<string, string> {
  return { PATH: searchPath(), CRIU_CONFIG_FILE: config };
}

/** CRIU keeps packets from a container that stands still, by iptables unless told otherwise. */
function networkLock(): readonly string[] {
  return Bun.which("iptables-restore", { PATH: searchPath() }) === null ? ["network-lock nftables"] : [];
}

/** The standard streams of `pid` that are no pipes of the runtime's own, which the runtime itself tells CRIU of. */
function outsideStreams(pid: number): OutsideStream[] {
  const inside = new Set(
    readFileSync(`/proc/${pid}/mountinfo`, "utf8")
      .split("\n")
      .map((line) => line.slice(0, line.indexOf(" "))),
  );
  return [0, 1, 2].flatMap((fd) => {
    const target = readLinkQuietly(`/proc/${pid}/fd/${fd}`);
    if (!target.startsWith("/")) return [];
    const mountId = /^mnt_id:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1] ?? "";
    if (inside.has(mountId)) return [];
    const { ino } = statSync(`/proc/${pid}/fd/${fd}`, { bigint: true });
    return [{ fd, name: `file[${Number(mountId).toString(16)}:${ino.toString(16)}]` }];
  });
}

function readLinkQuietly(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // the process has closed it
    return "";
  }
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** What the runtime says in its log, and the first of CRIU's errors, of which the others are consequences. */
function reason(runtimeLog: string, criuLog: string): string {
  const said =
    runtimeErrors(runtimeLog)
      .at(-1)
      ?.replace(/\s*log file: .*/s, "") ?? "";
  const error = /^(?:\(\S+\)\s+)?(?:\d+: )?Error \([^)]*\): (.*)$/m.exec(criuLog)?.[1] ?? "";
  return [said, error].filter((part) => part !== "").join(": ") || "it does not say why";
}
