/** `-H fd://`: a socket that somebody else listens on, as systemd does. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { listeningSocket } from "../../api/serve.ts";
import { until } from "../daemon.ts";

const DHOW = join(import.meta.dir, "../../../dhow");
let dir: string;
let socket: string;
let fd: number;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "dhow-fd-"));
  socket = join(dir, "d.sock");
  fd = listeningSocket(socket);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Starts a daemon with the socket as its descriptor 3. */
function start(...args: readonly string[]): Bun.Subprocess {
  const roots = ["--data-root", join(dir, "root"), "--exec-root", join(dir, "exec"), "-p", join(dir, "pid"), "--bridge", "none"];
  return Bun.spawn(["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@" 2>>"$LOG"', "sh", DHOW, "daemon", ...roots, ...args], {
    stdio: ["ignore", "ignore", "ignore", fd],
    env: { ...process.env, LOG: join(dir, "log") },
  });
}

function get(path: string): Promise<Response> {
  return fetch(`http://localhost${path}`, { unix: socket });
}

test("a daemon serves the socket, and who came early waits in its queue; the next daemon goes on with it", async () => {
  for (let round = 0; round < 2; round++) {
    const early = get("/_ping");
    const daemon = start("-H", "fd://");
    try {
      expect(await (await early).text()).toBe("OK");
      expect(((await (await get("/info")).json()) as { readonly ServerVersion: string }).ServerVersion).not.toBe("");
    } finally {
      daemon.kill("SIGTERM");
      expect(await daemon.exited).toBe(0);
    }
  }
});

test("a descriptor that was not handed over is refused", async () => {
  const daemon = start("-H", "fd://7");
  expect(await daemon.exited).toBe(1);
  const log = await until("the refusal", () => readFileSync(join(dir, "log"), "utf8"));
  expect(log).toContain("fd://7: no sockets found via socket activation: make sure the service was started by systemd");
});

test("a socket of a group that doesn't exist is refused, unless it is docker's own", async () => {
  const path = join(dir, "group.sock");
  const daemon = start("-H", `unix://${path}`, "--group", "no-such-group");
  expect(await daemon.exited).toBe(1);
  expect(readFileSync(join(dir, "log"), "utf8")).toContain("failed to start daemon: group no-such-group not found");
  expect(existsSync(path)).toBe(false);
  const other = start("-H", `unix://${path}`, "--group", "daemon", "--log-format", "json", "--log-level", "info");
  try {
    await until(
      "the socket",
      () => existsSync(path) && readFileSync(join(dir, "log"), "utf8").includes(`"msg":"daemon has completed initialization"`),
    );
    const { gid, mode } = statSync(path);
    expect([gid, mode & 0o777]).toEqual([1, 0o660]);
    const last = readFileSync(join(dir, "log"), "utf8").trim().split("\n").at(-1) ?? "";
    expect(JSON.parse(last)).toMatchObject({ level: "info", msg: "daemon has completed initialization" });
  } finally {
    other.kill("SIGTERM");
    await other.exited;
  }
});
