import { expect, test } from "bun:test";
import { withLastingHooks } from "./crun-hooks.ts";
import { buildSpec } from "./mod.ts";
import { FACTS, specInput } from "./test-support.ts";

const PLAIN = buildSpec(specInput({}, FACTS)).spec;

test("withLastingHooks() lets a hook end when its input ends, with its own exit code and arguments", async () => {
  const path = "/bin/sh";
  const hook = { path, args: ["any", "-c", 'echo "$0 $1"; exit 7', "a b", "$c"], env: ["PATH=/bin"] };
  const [lasting] = withLastingHooks({ ...PLAIN, hooks: { createRuntime: [hook] } }).hooks?.createRuntime ?? [];
  expect(lasting?.env).toEqual(hook.env);
  const [, ...args] = lasting?.args ?? [];
  const child = Bun.spawn([lasting?.path ?? "", ...args], { stdin: "pipe", stdout: "pipe" });
  const reader = child.stdout.getReader();
  expect(new TextDecoder().decode((await reader.read()).value)).toBe("a b $c\n");
  // what the hook doesn't read can still be written
  child.stdin.write("x".repeat(30_000));
  expect(child.exitCode).toBeNull();
  await child.stdin.end();
  expect(await child.exited).toBe(7);
});

test("withLastingHooks() leaves the container's own programs, and hooks with a limit of time", () => {
  const hooks = { startContainer: [{ path: "/own" }], poststop: [{ path: "/limited", timeout: 3 }] };
  expect(withLastingHooks({ ...PLAIN, hooks }).hooks).toEqual(hooks);
  expect(withLastingHooks(PLAIN)).toBe(PLAIN);
});
