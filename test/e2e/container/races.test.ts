/** What happens to a container when several clients act on it at the same moment, by the API. */
import { afterAll, afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { Daemon } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

/** Names the processes that a test looks for, so that no other test's are found. */
const MARK = `86${process.pid}`;

async function create(cmd: readonly string[], config: object = {}): Promise<string> {
  const { status, json } = await daemon.api<{ Id: string }>("POST", "/containers/create", { Image: "busybox", Cmd: cmd, ...config });
  expect(status).toBe(201);
  return json.Id;
}

const post = (id: string, verb: string): Promise<{ readonly status: number }> => daemon.api("POST", `/containers/${id}/${verb}`);
const remove = (id: string): Promise<{ readonly status: number }> => daemon.api("DELETE", `/containers/${id}?force=1`);

/** How many processes sleep as long as those of this test. */
function sleepers(): number {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8") === `sleep\0${MARK}\0`;
    } catch {
      return false;
    }
  }).length;
}

test("rm -f while a container starts leaves no process that nobody knows", async () => {
  for (let delayMs = 0; delayMs < 24; delayMs += 2) {
    const id = await create(["sleep", MARK]);
    const start = post(id, "start");
    await Bun.sleep(delayMs);
    const [started, removed] = await Promise.all([start, remove(id)]);
    expect(removed.status).toBe(204);
    // the removal may have been first, or have begun: docker says 409 of what is marked for it
    expect([204, 404, 409]).toContain(started.status);
  }
  expect(sleepers()).toBe(0);
});

test("a pause that meets the container's end does not call it paused", async () => {
  for (let round = 0; round < 5; round++) {
    const id = await create(["sleep", MARK]);
    await post(id, "start");
    const [, removed] = await Promise.all([post(id, "pause"), remove(id)]);
    expect(removed.status).toBe(204);
    const other = await create(["sleep", MARK]);
    await post(other, "start");
    await Promise.all([post(other, "pause"), post(other, "kill")]);
    await post(other, "wait");
    const { State } = await daemon.inspect<{ State: { Status: string; Paused: boolean } }>(other);
    expect(State).toMatchObject({ Status: "exited", Paused: false });
  }
});

test("who attached to a container that never ran is told when it goes, and when its start fails", async () => {
  const attach = (id: string): Promise<{ readonly status: number }> => post(id, "attach?stream=1&stdout=1");
  const removed = await create(["true"]);
  const first = attach(removed);
  await Bun.sleep(50);
  await remove(removed);
  expect((await first).status).toBe(200);
  const failing = await create(["true"], { User: "nobody-of-that-name" });
  const second = attach(failing);
  await Bun.sleep(50);
  expect((await post(failing, "start")).status).toBe(400);
  expect((await second).status).toBe(200);
});

test("of several starts and removals at once one does it", async () => {
  const id = await create(["sleep", MARK]);
  const starts = await Promise.all([post(id, "start"), post(id, "start"), post(id, "start")]);
  expect(starts.map((s) => s.status)).toEqual([204, 304, 304]);
  const removals = await Promise.all([remove(id), remove(id), remove(id)]);
  expect(removals.map((r) => r.status).sort()).toEqual([204, 409, 409]);
  expect(sleepers()).toBe(0);
});

test("a container with a volume's subpath starts again and again", async () => {
  await daemon.ok("volume", "create", "sub");
  await daemon.ok("run", "--rm", "-v", "sub:/v", "busybox", "mkdir", "/v/a");
  const Mounts = [{ Type: "volume", Source: "sub", Target: "/x", VolumeOptions: { Subpath: "a" } }];
  const id = await create(["sh", "-c", "echo once >>/x/log"], { HostConfig: { Mounts } });
  for (let run = 0; run < 3; run++) {
    expect((await post(id, "start")).status).toBe(204);
    await post(id, "wait");
  }
  expect(await daemon.ok("run", "--rm", "-v", "sub:/v", "busybox", "cat", "/v/a/log")).toBe("once\nonce\nonce");
  await daemon.removeContainers();
  await daemon.ok("volume", "rm", "sub");
});
