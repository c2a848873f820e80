import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { endedChild, OrphanReaper } from "./orphans.ts";

/** Starts a shell that leaves a process behind; the pid of that one. */
async function orphan(script: string): Promise<number> {
  const child = Bun.spawn(["sh", "-c", `(${script}) >/dev/null & echo $!`], { stdout: "pipe" });
  const pid = Number(await new Response(child.stdout).text());
  expect(await child.exited).toBe(0);
  return pid;
}

test("orphans are reaped, and own children keep their exit codes", async () => {
  using reaper = new OrphanReaper(50);
  const pids = await Promise.all([orphan("exit 3"), orphan("sleep 0.1"), orphan("exec sh -c 'kill -9 $$'")]);
  reaper.look();
  const own = Array.from({ length: 8 }, (_, code) => Bun.spawn(["sh", "-c", `sleep 0.0${code}; exit ${code}`]));
  for (const [code, child] of own.entries()) expect(await child.exited).toBe(code);
  while (pids.some((pid) => existsSync(`/proc/${pid}`))) await Bun.sleep(5);
  expect(endedChild()).toBeUndefined();
});

test("a child that has ended is seen and left as it is", async () => {
  const child = Bun.spawn(["true"]);
  // without a turn of the event loop, in which it would be waited for
  while (endedChild() === undefined) Bun.sleepSync(1);
  expect(endedChild()).toBe(child.pid);
  expect(await child.exited).toBe(0);
  expect(endedChild()).toBeUndefined();
});
