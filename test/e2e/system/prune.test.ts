import { afterAll, expect, test } from "bun:test";
import { Daemon, dockerCliMajor } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

interface Pruned {
  readonly ContainersDeleted?: readonly string[] | null;
  readonly VolumesDeleted?: readonly string[] | null;
  readonly SpaceReclaimed?: number;
  readonly message?: string;
}
const prune = async (noun: string, filters: object = {}): Promise<Pruned & { readonly status: number }> => {
  const { status, json } = await daemon.api<Pruned>("POST", `/v1.47/${noun}/prune?filters=${encodeURIComponent(JSON.stringify(filters))}`);
  return { status, ...json };
};
const ended = (name: string, ...options: readonly string[]): Promise<string> =>
  daemon.ok("run", "--name", name, ...options, "busybox", "sh", "-c", "head -c 100000 /dev/zero >/file");
const names = async (): Promise<readonly string[]> =>
  (await daemon.ok("ps", "-a", "--format", "{{.Names}}")).split("\n").filter(Boolean).sort();

test("filters that are none are refused in docker's words", async () => {
  for (const noun of ["containers", "images", "networks"]) {
    expect(await prune(noun, { until: ["x"] })).toEqual({ status: 400, message: 'failed to parse value as time or duration: "x"' });
    expect(await prune(noun, { until: ["1h", "2h"] })).toEqual({ status: 400, message: "more than one until filter specified" });
    expect(await prune(noun, { foo: ["x"] })).toEqual({ status: 400, message: "invalid filter 'foo'" });
  }
  expect(await prune("volumes", { until: ["1h"] })).toEqual({ status: 400, message: "invalid filter 'until'" });
  expect(await prune("images", { dangling: ["maybe"] })).toEqual({ status: 400, message: "invalid filter 'dangling=[maybe]'" });
});

test("containers: by label and age, never those that run; what they took is told", async () => {
  await ended("keep", "-l", "keep=yes");
  await ended("old");
  await daemon.ok("create", "--name", "fresh", "busybox");
  await daemon.ok("run", "-d", "--name", "busy", "busybox", "sleep", "1000");
  expect(await prune("containers", { until: ["1h"] })).toMatchObject({ ContainersDeleted: null, SpaceReclaimed: 0 });
  expect(await prune("containers", { label: ["nosuch"] })).toMatchObject({ ContainersDeleted: null, SpaceReclaimed: 0 });
  const { ContainersDeleted, SpaceReclaimed } = await prune("containers", {
    "label!": ["keep=yes"],
    until: [String(Date.now() / 1000 + 1)],
  });
  expect(ContainersDeleted).toHaveLength(2);
  expect(SpaceReclaimed).toBe(100_000);
  expect(await names()).toEqual(["busy", "keep"]);
});

test("volumes: anonymous ones, and with all=true named ones, but none that is in use", async () => {
  await daemon.ok("volume", "create", "named");
  await daemon.ok("volume", "create", "--label", "keep", "labelled");
  await ended("user", "-v", "used:/u", "-v", "/anonymous");
  const { json } = await daemon.api<{ readonly Name: string }>("POST", "/volumes/create", {});
  expect((await prune("volumes")).VolumesDeleted).toEqual([json.Name]);
  expect((await prune("volumes", { all: ["true"], "label!": ["keep"] })).VolumesDeleted).toEqual(["named"]);
  const left = (await daemon.ok("volume", "ls", "-q")).split("\n");
  expect(left).toContain("used");
  expect(left).toContain("labelled");
  expect(left).toHaveLength(3);
});

test("docker system df and system prune", async () => {
  const before = await daemon.ok("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}} {{.Size}} {{.Reclaimable}}");
  expect(before).toContain("Containers 3 1 200kB 200kB (100%)");
  expect(before).toContain("Local Volumes 3 2");
  const { stdout } = await daemon.docker("system", "prune", "-f", ...(dockerCliMajor < 23 ? [] : ["--filter", "label!=keep=yes"]));
  expect(stdout).toMatch(/Deleted Containers:\n[0-9a-f]{64}\n/);
  expect(stdout).toContain("Total reclaimed space: ");
  expect(await names()).toContain("busy");
  expect((await daemon.api("GET", "/system/df?type=foo")).json).toEqual({ message: "unknown object type: foo" });
});

test("a container can't have the host's files counted as its own", async () => {
  const swap = "mkdir /d; head -c 5000 /dev/zero >/d/f; mv /d /e; ln -s /usr/bin /d; ln -s /proc/1/root /r; sleep 1000";
  await daemon.ok("run", "-d", "--name", "sly", "-v", "sly:/v", "busybox", "sh", "-c", `ln -s / /v/host; ${swap}`);
  await daemon.ok("exec", "sly", "sh", "-c", "while [ ! -L /r ]; do sleep 0.05; done");
  const { json } = await daemon.api<{ readonly SizeRw: number }>("GET", "/containers/sly/json?size=1");
  expect(json.SizeRw).toBe(5000 + "/usr/bin".length + "/proc/1/root".length);
  const df = await daemon.api<{ readonly Volumes: readonly { readonly Name: string; readonly UsageData: { readonly Size: number } }[] }>(
    "GET",
    "/v1.47/system/df?type=volume",
  );
  expect(df.json.Volumes.find(({ Name }) => Name === "sly")?.UsageData.Size).toBe("/".length);
});

test("top finds processes without a terminal, whatever the columns", async () => {
  const rows = async (psArgs: string) =>
    (await daemon.api<{ readonly Processes: readonly string[][] }>("GET", `/containers/busy/top?ps_args=${encodeURIComponent(psArgs)}`))
      .json;
  expect((await rows("-o pid,comm")).Processes).toEqual([[expect.stringMatching(/^\d+$/), "sleep"]]);
  expect((await rows("-ef")).Processes).toHaveLength(1);
  expect((await rows("axf")).Processes).toHaveLength(1);
});
