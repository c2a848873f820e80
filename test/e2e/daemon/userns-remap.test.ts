import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Daemon } from "../daemon.ts";

/** The daemon has an /etc of its own, where it may add users. */
const etc = mkdtempSync(join(tmpdir(), "dhow-e2e-etc-"));
for (const name of ["upper", "work"]) mkdirSync(join(etc, name));
const mount = `lowerdir=/etc,upperdir=${etc}/upper,workdir=${etc}/work`;
const first = `[ -e ${etc}/upper/passwd ] || rm -f /etc/subuid /etc/subgid`;
const under = ["unshare", "--mount", "sh", "-c", `mount -t overlay overlay -o ${mount} /etc && { ${first}; } && exec "$@"`, "sh"];

const daemon = await Daemon.start({ under, args: ["--userns-remap", "default"] }).catch((error: unknown) => {
  rmSync(etc, { recursive: true });
  throw error;
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(etc, { recursive: true });
});

const uidMap = async (...options: readonly string[]): Promise<readonly string[]> =>
  (await daemon.ok("run", "--rm", ...options, "busybox", "cat", "/proc/self/uid_map")).trim().split(/\s+/);
const range = (): readonly string[] => /^dockremap:(\d+):(\d+)$/m.exec(readFileSync(join(etc, "upper/subuid"), "utf8"))?.slice(1) ?? [];

test("default makes the user dockremap, and maps every container to its ids", async () => {
  expect(readFileSync(join(etc, "upper/passwd"), "utf8")).toContain("\ndockremap:x:");
  expect(range()).toEqual([expect.any(String), "65536"]);
  expect(await uidMap()).toEqual(["0", ...range()]);
  expect(JSON.parse(await daemon.ok("info", "-f", "{{json .SecurityOptions}}"))).toContain("name=userns");
  await daemon.ok("create", "--name", "shown", "busybox");
  expect(await daemon.ok("inspect", "-f", "<{{.HostConfig.UsernsMode}}>", "shown")).toBe("<>");
  await daemon.ok("rm", "shown");
});

test("--userns=host stays in the host's namespace; only there is what user namespaces exclude", async () => {
  expect(await uidMap("--userns", "host")).toEqual(["0", "0", "4294967295"]);
  expect(await uidMap("--userns", "host", "--privileged", "--network", "host", "--pid", "host")).toEqual(["0", "0", "4294967295"]);
  for (const [options, why] of [
    [["--privileged"], "privileged mode is incompatible with user namespaces."],
    [["--network", "host"], "cannot share the host's network namespace when user namespaces are enabled"],
    [["--pid", "host"], "cannot share the host PID namespace when user namespaces are enabled"],
  ] as const) {
    const { stderr, exitCode } = await daemon.docker("run", "--rm", ...options, "busybox", "true");
    expect(exitCode).toBe(125);
    expect(stderr).toContain(`Error response from daemon: ${why}`);
  }
});

test("containers share namespaces with each other, and volumes with those of the host's namespace", async () => {
  await daemon.ok("run", "-d", "--name", "donor", "--ipc", "shareable", "-v", "remapped:/v", "busybox", "sleep", "1000");
  const shared = ["--network", "container:donor", "--ipc", "container:donor", "--pid", "container:donor"];
  expect(await uidMap(...shared)).toEqual(["0", ...range()]);
  await daemon.ok("exec", "donor", "sh", "-c", "echo mine >/v/file; chown 5:6 /v/file");
  const owner = (...options: readonly string[]): Promise<string> =>
    daemon.ok("run", "--rm", "-v", "remapped:/v", ...options, "busybox", "stat", "-c", "%u:%g", "/v/file");
  expect([await owner(), await owner("--userns", "host")]).toEqual(["5:6", "5:6"]);
  expect(statSync(join(daemon.dataRoot, "volumes/remapped/_data/file"))).toMatchObject({ uid: 5, gid: 6 });
});

test("a container keeps its mapping when the daemon gets another setting; images are the same to all", async () => {
  await daemon.stop();
  const other = ["--userns-remap", "auto", "--userns-pool", "3500000000:65536"];
  await daemon.launch(other);
  expect(await daemon.ok("exec", "donor", "cat", "/proc/self/uid_map", "/v/file")).toMatch(new RegExp(`^0 +${range()[0]} +65536\\s+mine$`));
  expect(await uidMap()).toEqual(["0", "3500000000", "65536"]);
  expect(await uidMap("--userns", "host")).toEqual(["0", "0", "4294967295"]);
  await daemon.ok("restart", "-t", "0", "donor");
  expect(await daemon.ok("exec", "donor", "cat", "/proc/self/uid_map")).toMatch(new RegExp(`^0 +${range()[0]} +65536$`));
  await daemon.ok("rm", "-f", "donor");
});

test("a setting that makes no mapping keeps the daemon from starting, and says why", async () => {
  await daemon.stop();
  for (const [setting, why] of [
    ["no-such-user", 'Error during uid lookup for \\"no-such-user\\"'],
    ["a:b:c", "Invalid user/group specification in --userns-remap"],
    ["daemon", "Can't create ID mappings: no subuid ranges found for user"],
  ] as const) {
    const failure = await daemon.launch(["--userns-remap", setting]).then(
      () => "it started",
      (error: Error) => error.message,
    );
    expect(failure).toContain(why.replaceAll('\\"', '"').split('"')[0] ?? "");
  }
});
