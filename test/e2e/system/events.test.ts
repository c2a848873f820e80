import { afterAll, expect, test } from "bun:test";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

interface Event {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly timeNano: number;
}

const past = async (filters: object = {}, since = "0", end = String(Date.now() / 1000 + 0.001)): Promise<readonly Event[]> => {
  const query = new URLSearchParams({ since, until: end, filters: JSON.stringify(filters) });
  const { text } = await daemon.api("GET", `/events?${query}`);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Event);
};
const actions = (events: readonly Event[]): string[] => events.map(({ Type, Action }) => `${Type} ${Action}`);

test("docker's events and attributes, in docker's order", async () => {
  await daemon.ok("run", "-d", "--name", "all", "-l", "tier=back", "-v", "all:/v", "busybox", "sleep", "1000");
  const { Id } = await daemon.inspect<{ Id: string }>("all");
  await daemon.ok("exec", "all", "true");
  await daemon.docker("exec", "all", "nosuch");
  await daemon.ok("pause", "all");
  await daemon.ok("unpause", "all");
  await daemon.ok("rename", "all", "every");
  await daemon.ok("update", "-c", "512", "every");
  await daemon.ok("kill", "every");
  await until("it has ended", async () => (await past({ event: ["unmount"] })).length > 0);
  await daemon.ok("rm", "every");
  const events = await past({ type: ["container", "network", "volume"] });
  expect(actions(events)).toEqual([
    ...["volume create", "container create", "network connect", "volume mount", "container start"],
    ...["container exec_create: true ", "container exec_start: true ", "container exec_die"],
    ...["container exec_create: nosuch ", "container exec_start: nosuch "],
    ...["container pause", "container unpause", "container rename", "container update", "container kill", "container die"],
    ...["network disconnect", "volume unmount", "container destroy"],
  ]);
  const attributes = (action: string): object => events.find((event) => `${event.Type} ${event.Action}` === action)?.Actor.Attributes ?? {};
  const own = { tier: "back", image: "busybox", name: "all" };
  expect(attributes("container start")).toEqual(own);
  expect(attributes("container exec_die")).toEqual({ ...own, execID: expect.stringMatching(/^[0-9a-f]{64}$/), exitCode: "0" });
  expect(attributes("container rename")).toEqual({ ...own, name: "every", oldName: "/all" });
  expect(attributes("container kill")).toEqual({ ...own, name: "every", signal: "9" });
  expect(attributes("container die")).toEqual({ ...own, name: "every", exitCode: "137", execDuration: expect.stringMatching(/^\d+$/) });
  expect(attributes("network connect")).toEqual({ container: Id, name: "bridge", type: "bridge" });
  expect(Object.keys(attributes("volume mount"))).toEqual(["container", "destination", "driver", "propagation", "read/write"]);
  expect(attributes("volume mount")).toEqual({ container: Id, destination: "/v", driver: "local", propagation: "", "read/write": "true" });
  expect(attributes("volume unmount")).toEqual({ container: Id, driver: "local" });
});

test("a start that fails: its networks and volumes come and go", async () => {
  await daemon.ok("network", "create", "failing");
  await daemon.ok("network", "create", "further");
  await daemon.ok("create", "--name", "failed", "--network", "failing", "-v", "failed:/v", "busybox", "/nonexistent");
  await daemon.ok("network", "connect", "further", "failed");
  const { Id } = await daemon.inspect<{ Id: string }>("failed");
  const fails = async (...args: readonly string[]): Promise<readonly Event[]> => {
    const since = String(Date.now() / 1000);
    expect((await daemon.docker(...args)).stderr).toContain("/nonexistent");
    return past({ type: ["network", "volume"], event: ["connect", "disconnect", "mount", "unmount"] }, since);
  };
  const events = await fails("start", "failed");
  expect(events.map(({ Action, Actor }) => `${Action} ${Actor.Attributes["name"] ?? Actor.ID}`)).toEqual([
    ...["connect failing", "connect further", "mount failed"],
    ...["disconnect failing", "disconnect further", "unmount failed"],
  ]);
  for (const { Actor } of events) expect(Actor.Attributes["container"]).toBe(Id);
  for (const network of ["host", "none"]) {
    const own = await fails("run", "--rm", "--network", network, "busybox", "/nonexistent");
    expect(own.map(({ Action, Actor }) => `${Action} ${Actor.Attributes["name"]}`)).toEqual([
      `connect ${network}`,
      `disconnect ${network}`,
    ]);
  }
  // nothing was plugged in
  await daemon.ok("network", "disconnect", "further", "failed");
  await daemon.ok("network", "rm", "failing");
  const since = String(Date.now() / 1000);
  expect((await daemon.docker("start", "failed")).stderr).toContain("network failing not found");
  expect(await past({ type: ["network"] }, since)).toEqual([]);
  await daemon.ok("rm", "failed");
  await daemon.ok("network", "rm", "further");
});

test("a health check's runs and what comes of them", async () => {
  const health = ["--health-cmd", "test -e /ok", "--health-interval", "50ms", "--health-retries", "1"];
  await daemon.ok("run", "-d", "--name", "checked", ...health, "busybox", "sleep", "1000");
  await until("it is unhealthy", async () => (await past({ event: ["health_status: unhealthy"] })).length === 1);
  await daemon.ok("exec", "checked", "touch", "/ok");
  await until("it is healthy", async () => (await past({ event: ["health_status: healthy"] })).length === 1);
  await daemon.ok("rm", "-f", "checked");
  const seen = actions(await past({ container: ["checked"] }));
  expect(seen.slice(2, 6)).toEqual([
    ...["container exec_create: /bin/sh -c test -e /ok", "container exec_start: /bin/sh -c test -e /ok", "container exec_die"],
    "container health_status: unhealthy",
  ]);
});

test("the past survives a daemon that is killed, and what ended meanwhile is told", async () => {
  await daemon.ok("run", "-d", "--name", "short", "busybox", "sh", "-c", "while [ ! -e /end ]; do sleep 0.05; done; exit 4");
  await daemon.ok("run", "-d", "--rm", "--name", "shorter", "busybox", "sh", "-c", "while [ ! -e /end ]; do sleep 0.05; done; exit 5");
  const pids = await Promise.all(
    ["short", "shorter"].map(async (name) => (await daemon.inspect<{ State: { Pid: number } }>(name)).State.Pid),
  );
  const before = await past();
  await daemon.kill9();
  for (const pid of pids) await Bun.write(`/proc/${pid}/root/end`, "");
  await until("they have ended", () => pids.every((pid) => !isAlive(pid)));
  await daemon.launch();
  const after = await past();
  expect(after.slice(0, before.length)).toEqual([...before]);
  const told = after.slice(before.length).filter(({ Type }) => Type === "container");
  expect(told.map(({ Action, Actor }) => [Action, Actor.Attributes["name"], Actor.Attributes["exitCode"]])).toEqual([
    ["die", "short", "4"],
    ["die", "shorter", "5"],
    ["destroy", "shorter", undefined],
  ]);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test("since and until with fractions, both included", async () => {
  const [first, second, third] = (await past()).map(({ timeNano }) => timeNano);
  if (first === undefined || second === undefined || third === undefined) throw new Error("there are no events");
  // what JSON lost of the nanoseconds is less than a microsecond
  const seconds = (ns: number, moreUs: number): string => ((ns / 1000 + moreUs) / 1e6).toFixed(6);
  expect(await past({}, seconds(first, 1), seconds(second, 1))).toHaveLength(1);
  expect(await past({}, seconds(first, -1), seconds(third, -1))).toHaveLength(2);
  expect((await daemon.api("GET", "/events?since=5&until=3")).json).toEqual({
    message: "`since` time (5) cannot be after `until` time (3)",
  });
});
