import { afterAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

interface Inspected {
  readonly RestartCount: number;
  readonly State: { readonly Status: string; readonly ExitCode: number };
}
const inspect = (name: string): Promise<Inspected> => daemon.inspect<Inspected>(name);

/** As after a power cut: no process is left, and the state of the last boot is worthless. */
async function reboot(): Promise<void> {
  const { json } = await daemon.api<readonly { readonly Id: string }[]>("GET", "/containers/json");
  const pids = await Promise.all(json.map(async ({ Id }) => (await daemon.inspect<{ State: { Pid: number } }>(Id)).State.Pid));
  await daemon.kill9();
  const holders = readdirSync(join(daemon.execRoot, "bundles")).map((name) =>
    Number(readFileSync(join(daemon.execRoot, "bundles", name, "holder"), "utf8")),
  );
  for (const pid of [...holders, ...pids]) kill(pid);
  await until("they are gone", () => pids.every((pid) => !kill(pid)));
  writeFileSync(join(daemon.execRoot, "boot-id"), "another");
  await daemon.launch();
}

/** False when there is no such process. */
function kill(pid: number): boolean {
  try {
    process.kill(pid, "SIGKILL");
    return true;
  } catch {
    return false;
  }
}

test("after a start of the machine restart policies have their say, and stops by hand are remembered", async () => {
  const policies = ["always", "unless-stopped", "on-failure:3", "no"] as const;
  for (const policy of policies) {
    const name = policy.split(":")[0] ?? "";
    for (const prefix of ["ran", "stopped"]) {
      await daemon.ok("run", "-d", "--name", `${prefix}-${name}`, "--restart", policy, "busybox", "sleep", "1000");
    }
    await daemon.ok("stop", "-t", "0", `stopped-${name}`);
  }
  await daemon.ok("run", "-d", "--rm", "--name", "ran-rm", "busybox", "sleep", "1000");
  await reboot();
  await until("they run", async () => {
    const states = await Promise.all(["ran-always", "ran-unless-stopped", "ran-on-failure", "stopped-always"].map(inspect));
    return states.every(({ State }) => State.Status === "running");
  });
  expect((await inspect("ran-no")).State).toMatchObject({ Status: "exited", ExitCode: 255 });
  for (const name of ["unless-stopped", "on-failure", "no"]) {
    expect((await inspect(`stopped-${name}`)).State).toMatchObject({ Status: "exited", ExitCode: 137 });
  }
  expect((await daemon.api("GET", "/containers/ran-rm/json")).status).toBe(404);
});

test("a daemon that was killed while it noted which boot this is has lost nothing", async () => {
  await daemon.removeContainers();
  await daemon.ok("run", "-d", "--name", "stays", "busybox", "sleep", "1000");
  await daemon.kill9();
  writeFileSync(join(daemon.execRoot, "boot-id"), "");
  await daemon.launch();
  expect((await inspect("stays")).State.Status).toBe("running");
  expect(readFileSync(join(daemon.execRoot, "boot-id"), "utf8")).not.toBe("");
});
