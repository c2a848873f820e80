import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { DhowError, errnoCode } from "../lib/mod.ts";

const WAIT_MS = 60_000;
const POLL_MS = 20;
const LOCK = "/run/dhow.starting";
const LOG = "/var/log/dhow.log";
const LOG_TAIL_LINES = 5;

/** How this program starts itself; a compiled binary is its own script. */
function selfCommand(): readonly string[] {
  const script = process.argv[1] ?? "";
  if (script.startsWith("/$bunfs/") || script === "") return [process.execPath];
  return [process.execPath, "--no-env-file", "--config=/dev/null", "--no-install", script];
}

function isAnswering(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const done = (isUp: boolean) => {
      socket.destroy();
      resolve(isUp);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Makes the lock file, which names its maker; false when a living process has it. */
function takeLock(): boolean {
  for (let attempt = 0; attempt < 3; attempt++) {
    try {
      const fd = openSync(LOCK, "wx", 0o600);
      writeSync(fd, `${process.pid}\n`);
      closeSync(fd);
      return true;
    } catch (error) {
      if (errnoCode(error) !== "EEXIST") throw error;
    }
    let holder = 0;
    try {
      holder = Number(readFileSync(LOCK, "utf8"));
    } catch {
      continue;
    }
    if (holder > 0 && isAlive(holder)) return false;
    rmSync(LOCK, { force: true });
  }
  return false;
}

function spawnDaemon(warn: (line: string) => void): { readonly hasEnded: () => boolean } {
  mkdirSync(dirname(LOG), { recursive: true });
  const log = openSync(LOG, "a", 0o640);
  const [file = "", ...args] = [...selfCommand(), "daemon"];
  const child = spawn(file, args, { detached: true, stdio: ["ignore", log, log], cwd: "/" });
  closeSync(log);
  let hasEnded = false;
  child.once("exit", () => {
    hasEnded = true;
  });
  child.once("error", () => {
    hasEnded = true;
  });
  child.unref();
  warn(`dhow: started the daemon (pid ${child.pid}, log ${LOG})`);
  return { hasEnded: () => hasEnded };
}

function logTail(): string {
  try {
    return readFileSync(LOG, "utf8").trimEnd().split("\n").slice(-LOG_TAIL_LINES).join("\n");
  } catch {
    return "";
  }
}

/**
 * Starts a daemon in the background and waits until it answers at `host`. Of several callers at once, one starts it and the others wait.
 * @throws unavailable when it ends at once or doesn't answer within a minute
 */
export async function startDaemon(host: string, warn: (line: string) => void): Promise<boolean> {
  const path = host.slice("unix://".length);
  const isStarter = takeLock();
  try {
    if (isStarter && (await isAnswering(path))) return true;
    const daemon = isStarter ? spawnDaemon(warn) : undefined;
    for (const deadline = Date.now() + WAIT_MS; Date.now() < deadline; await Bun.sleep(POLL_MS)) {
      if (await isAnswering(path)) return true;
      if (daemon?.hasEnded())
        throw new DhowError("unavailable", `dhow: the daemon ended while it started, the end of ${LOG}:\n${logTail()}`);
    }
    throw new DhowError("unavailable", `dhow: the daemon doesn't answer at ${host} after ${WAIT_MS / 1000} s, see ${LOG}`);
  } finally {
    if (isStarter) rmSync(LOCK, { force: true });
  }
}
