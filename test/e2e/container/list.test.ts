import { afterAll, beforeAll, expect, test } from "bun:test";
import { Daemon } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

beforeAll(async () => {
  await daemon.ok("tag", "busybox", "other:1");
  await daemon.docker("run", "--name", "failed", "-l", "group=a", "busybox", "sh", "-c", "exit 3");
  await daemon.ok("run", "--name", "done", "-l", "group=b", "-v", "data:/data", "busybox", "true");
  await daemon.ok("create", "--name", "fresh", "--net", "none", "other:1");
  await daemon.ok("run", "-d", "--name", "up", "-l", "group=a", "-p", "127.0.0.1::80", "--expose", "81", "busybox", "sleep", "1000");
  await daemon.ok("run", "-d", "--name", "up-paused", "busybox", "sleep", "1000");
  await daemon.ok("pause", "up-paused");
}, 60_000);

const names = async (...args: readonly string[]): Promise<readonly string[]> =>
  (await daemon.ok("ps", "--format", "{{.Names}}", ...args)).split("\n").filter((name) => name !== "");

test("running ones, all, the last", async () => {
  expect(await names()).toEqual(["up-paused", "up"]);
  expect(await names("-a")).toEqual(["up-paused", "up", "fresh", "done", "failed"]);
  expect(await names("-n", "3")).toEqual(["up-paused", "up", "fresh"]);
  expect(await names("-l")).toEqual(["up-paused"]);
});

test.each([
  ["status=exited", ["done", "failed"]],
  ["status=created", ["fresh"]],
  ["status=paused", ["up-paused"]],
  ["status=running", ["up"]],
  ["exited=3", ["failed"]],
  ["exited=0", ["done"]],
  ["label=group", ["up", "done", "failed"]],
  ["label=group=a", ["up", "failed"]],
  ["name=up", ["up-paused", "up"]],
  ["name=^up$", ["up"]],
  ["name=^/up$", ["up"]],
  ["ancestor=other:1", ["up-paused", "up", "fresh", "done", "failed"]],
  ["ancestor=nosuch", []],
  ["volume=data", ["done"]],
  ["volume=/data", ["done"]],
  ["network=none", ["fresh"]],
  ["network=bridge", ["up-paused", "up", "done", "failed"]],
  ["before=fresh", ["done", "failed"]],
  ["since=fresh", ["up-paused", "up"]],
  ["publish=80", []],
  ["expose=81", ["up"]],
  ["expose=80-82/tcp", ["up"]],
  ["health=none", ["up-paused", "up", "fresh", "done", "failed"]],
  ["is-task=false", ["up-paused", "up", "fresh", "done", "failed"]],
  ["is-task=true", []],
])("--filter %s", async (filter, expected) => {
  expect(await names("-a", "--filter", filter)).toEqual(expected);
});

test("of filters only a status shows what doesn't run", async () => {
  for (const filter of ["before=up", "exited=0", "health=none", "label=group", "since=done"]) {
    const all = await names("-a", "--filter", filter);
    expect(await names("--filter", filter)).toEqual(all.filter((name) => name.startsWith("up")));
  }
  expect(await names("--filter", "status=exited")).toEqual(["done", "failed"]);
});

test("filters of one kind are alternatives, of several kinds all hold", async () => {
  expect(await names("-a", "--filter", "name=^up$", "--filter", "name=done")).toEqual(["up", "done"]);
  expect(await names("-a", "--filter", "name=^up$", "--filter", "status=exited")).toEqual([]);
  // what is no expression is found nowhere, and one that is made to be slow is answered at once
  expect(await names("-a", "--filter", "name=(", "--filter", "name=^/(?i)UP$")).toEqual(["up"]);
  expect(await names("-a", "--filter", "name=([a-z]+[a-z]+)+[0-9]$")).toEqual([]);
  expect(await names("-a", "--filter", "label=group", "--filter", "label=group=a")).toEqual(["up", "failed"]);
});

test.each([
  ["foo=bar", "invalid filter 'foo'"],
  ["label!=group", "invalid filter 'label!'"],
  ["status=foo", "foo"],
  ["health=foo", "foo"],
  ["exited=foo", "foo"],
  ["is-task=foo", "invalid filter 'is-task=[foo]'"],
  ["before=nosuch", "nosuch"],
  ["publish=foo", "foo"],
])("--filter %s is refused", async (filter, text) => {
  const { stderr, exitCode } = await daemon.docker("ps", "--filter", filter);
  expect(stderr).toContain(text);
  expect(exitCode).toBe(1);
});

test("--size", async () => {
  await daemon.ok("exec", "up", "sh", "-c", "head -c 5000 /dev/zero > /five");
  expect(await daemon.ok("ps", "-s", "--filter", "name=^up$", "--format", "{{.Size}}")).toMatch(/^5kB \(virtual [\d.]+MB\)$/);
  expect(await daemon.ok("ps", "-as", "--filter", "name=done", "--format", "{{.Size}}")).toMatch(/^0B \(virtual /);
});

test("the table and its columns", async () => {
  const [titles = "", row = ""] = (await daemon.ok("ps", "--filter", "name=^up$")).split("\n");
  expect(titles.split(/\s{2,}/)).toEqual(["CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"]);
  expect(row).toMatch(/^[0-9a-f]{12} +busybox +"sleep 1000" +.* ago +Up .* +81\/tcp, 127\.0\.0\.1:\d+->80\/tcp +up$/);
  expect(JSON.parse(await daemon.ok("ps", "--filter", "name=^up$", "--format", "{{json .}}"))).toMatchObject({
    Names: "up",
    State: "running",
    Labels: "group=a",
    Networks: "bridge",
    LocalVolumes: "0",
  });
  expect(await daemon.ok("ps", "-a", "--filter", "name=failed", "--format", "{{.Status}}")).toMatch(/^Exited \(3\) /);
});

test("port", async () => {
  expect(await daemon.ok("port", "up")).toMatch(/^80\/tcp -> 127\.0\.0\.1:\d+$/);
  expect(await daemon.ok("port", "up", "80")).toMatch(/^127\.0\.0\.1:\d+$/);
  expect((await daemon.docker("port", "up", "81")).stderr).toMatch(/no public port '81(\/tcp)?' published for up/i);
});

test("the image's name gives way to its id once the tag has moved", async () => {
  await daemon.ok("rmi", "other:1");
  expect(await daemon.ok("ps", "-a", "--filter", "name=fresh", "--format", "{{.Image}}")).toMatch(/^[0-9a-f]{12}$/);
});
