import { afterAll, expect, test } from "bun:test";
import { Daemon } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

test("a daemon leaves nothing behind", async () => {
  expect(await daemon.ok("run", "--rm", "busybox", "echo", "hello")).toBe("hello");
  await daemon.ok("run", "-d", "--name", "aa", "-v", "/anonymous", "-p", "127.0.0.1::80", "busybox", "sleep", "1000");
  await daemon.kill9();
  await daemon.restart();
  expect(await daemon.ok("exec", "aa", "echo", "still here")).toBe("still here");
  await daemon.ok("rm", "-f", "-v", "aa");
  expect(await daemon.residue()).toEqual([]);
  expect(await daemon.stop()).toBe(0);
  expect(await daemon.leftovers()).toEqual([]);
});
