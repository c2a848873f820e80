/** Completion in a real bash, as its key Tab calls it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon } from "../daemon.ts";

const MAIN = join(import.meta.dir, "../../../src/main.ts");

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
  const program = join(daemon.dir, "dhow");
  writeFileSync(program, `#!/bin/sh\nexec ${process.execPath} --no-env-file --config=/dev/null --no-install ${MAIN} "$@"\n`);
  chmodSync(program, 0o755);
  await daemon.ok("run", "-d", "--name", "webserver", "busybox", "sleep", "1000");
  await daemon.ok("create", "--name", "waiting", "busybox");
  writeFileSync(join(daemon.dir, "variables.env"), "");
}, 120_000);

afterAll(() => daemon?.[Symbol.asyncDispose]());

/** The words that Tab offers at the end of `line`, broken into words as bash does it at blanks, colons and equal signs. */
function tab(line: string, env: Readonly<Record<string, string>> = { DOCKER_HOST: daemon.host }): string[] {
  const parts = line.split(/(?<=[\s:=])|(?=[:=])/).map((part) => part.trim());
  const words = [...parts.filter((part) => part !== ""), ...(/\s$/.test(line) ? [""] : [])];
  const script = `
    source <(dhow completion bash)
    COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
    _dhow; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const done = Bun.spawnSync(["bash", "-c", script], {
    cwd: daemon.dir,
    env: { PATH: `${daemon.dir}:${process.env["PATH"]}`, HOME: daemon.dir, ...env },
  });
  expect(done.stderr.toString()).toBe("");
  return done.stdout.toString().split("\n").filter(Boolean);
}

test("commands, flags and objects", () => {
  expect(tab("dhow vers")).toEqual(["version"]);
  expect(tab("dhow run --stop-")).toEqual(["--stop-signal", "--stop-timeout"]);
  expect(tab("dhow exec ")).toEqual(["webserver"]);
  expect(tab("dhow start ")).toEqual(["waiting"]);
  expect(tab("dhow logs w")).toEqual(["waiting", "webserver"]);
});

test("words with colons and equal signs", () => {
  expect(tab("dhow run busybox:")).toEqual(["latest"]);
  expect(tab("dhow run --restart=un")).toEqual(["unless-stopped"]);
  expect(tab("dhow cp webs")).toEqual(["webserver:"]);
  expect(tab("dhow run --env-file var")).toEqual(["variables.env"]);
});

test("the engine that the line names; none is started for it", () => {
  const line = `dhow -H ${daemon.host} exec `;
  expect(tab(line, { DOCKER_HOST: "unix:///nowhere.sock" })).toEqual(["webserver"]);
  expect(tab("dhow exec ", { DOCKER_HOST: "unix:///nowhere.sock" })).toEqual([]);
});
