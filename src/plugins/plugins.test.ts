import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { silentLogger } from "../lib/mod.ts";
import { Plugins } from "./plugins.ts";

let root: string;
let servers: { stop: (closeActive?: boolean) => unknown }[];

beforeEach(() => {
  root = mkdtempSync(`${tmpdir()}/dhow-plugins-`);
  servers = [];
});
afterEach(() => {
  for (const server of servers) server.stop(true);
  rmSync(root, { recursive: true, force: true });
});

const plugins = (timeoutMs = 5000): Plugins =>
  new Plugins({ socketDir: `${root}/run`, specDirs: [`${root}/etc`, `${root}/lib`], timeoutMs, log: silentLogger });

type Answers = Readonly<Record<string, (body: unknown, request: Request) => unknown>>;

function handler(answers: Answers, kinds: readonly string[]) {
  return async (request: Request): Promise<Response> => {
    const method = new URL(request.url).pathname.slice(1);
    if (method === "Plugin.Activate") return Response.json({ Implements: kinds });
    const text = await request.text();
    const answer = await answers[method]?.(text === "" ? undefined : JSON.parse(text), request);
    return answer instanceof Response ? answer : Response.json(answer ?? {});
  };
}

function serve(name: string, answers: Answers = {}, kinds: readonly string[] = ["VolumeDriver"]): void {
  mkdirSync(`${root}/run`, { recursive: true });
  servers.push(Bun.serve({ unix: `${root}/run/${name}.sock`, fetch: handler(answers, kinds) }));
}

test("get() finds a socket, activates it once and calls it with the protocol's media type", async () => {
  const seen: unknown[] = [];
  serve("blue", { "VolumeDriver.Get": (body, request) => void seen.push(body, request.headers.get("accept")) });
  const found = plugins();
  const plugin = await found.get("blue", "VolumeDriver");
  expect(await plugin.call("VolumeDriver.Get", { Name: "x" })).toEqual({});
  expect(seen).toEqual([{ Name: "x" }, "application/vnd.docker.plugins.v1.2+json"]);
  expect(await found.get("blue", "VolumeDriver")).toBe(plugin);
});

test("get() reads .spec and .json files, also in a directory of the plug-in's name", async () => {
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: handler({}, ["NetworkDriver"]) });
  servers.push(server);
  for (const dir of ["etc", "lib/green"]) mkdirSync(`${root}/${dir}`, { recursive: true });
  writeFileSync(`${root}/etc/red.spec`, `tcp://127.0.0.1:${server.port}\n`);
  writeFileSync(`${root}/lib/green/green.json`, JSON.stringify({ Name: "green", Addr: `http://127.0.0.1:${server.port}` }));
  writeFileSync(`${root}/etc/odd.spec`, "ftp://x");
  writeFileSync(`${root}/etc/bad.json`, "{");
  const found = plugins();
  expect(await found.names()).toEqual(["bad", "green", "odd", "red"]);
  expect((await found.all("NetworkDriver")).map(({ name }) => name)).toEqual(["green", "red"]);
  expect(await found.all("VolumeDriver")).toEqual([]);
  expect(found.get("odd", "NetworkDriver")).rejects.toThrow('unknown protocol in "ftp://x"');
  expect(found.get("bad", "NetworkDriver")).rejects.toThrow("bad.json: not JSON");
});

test("get() tells a name that is nobody's, and one of another kind", async () => {
  serve("net", {}, ["NetworkDriver"]);
  expect(plugins().get("nope", "VolumeDriver")).rejects.toThrow('plugin "nope" not found');
  expect(plugins().get("../run/net", "NetworkDriver")).rejects.toThrow('plugin "../run/net" not found');
  expect(plugins().get("net", "VolumeDriver")).rejects.toThrow('plugin="net", requested implementation="VolumeDriver"');
});

test("call() has docker's words for what a plug-in says", async () => {
  serve("err", {
    "VolumeDriver.Create": () => ({ Err: "no room" }),
    "VolumeDriver.Remove": () => Response.json({ Err: "it is busy" }, { status: 500 }),
    "VolumeDriver.Path": () => new Response("404 page not found\n", { status: 404 }),
    "VolumeDriver.List": () => new Response("[1]"),
  });
  const plugin = await plugins().get("err", "VolumeDriver");
  expect(plugin.call("VolumeDriver.Create", {})).rejects.toThrow(/^no room$/);
  expect(plugin.call("VolumeDriver.Remove", {})).rejects.toThrow(/^VolumeDriver.Remove: it is busy$/);
  expect(plugin.call("VolumeDriver.Path", {})).rejects.toThrow(/^VolumeDriver.Path: 404 page not found$/);
  expect(plugin.call("VolumeDriver.List", {})).rejects.toThrow("not a JSON object");
});

test("call() takes null for an answer without fields, and the first of several", async () => {
  serve("short", {
    "VolumeDriver.Create": () => new Response("null\n"),
    "VolumeDriver.Get": () => new Response('{"Err":"no such volume"}\n{"Volume":{"Name":""}}\n'),
    "VolumeDriver.List": () => new Response(""),
  });
  const plugin = await plugins().get("short", "VolumeDriver");
  expect(await plugin.call("VolumeDriver.Create", {})).toEqual({});
  expect(plugin.call("VolumeDriver.Get", {})).rejects.toThrow(/^no such volume$/);
  expect(plugin.call("VolumeDriver.List", {})).rejects.toThrow("not a JSON object");
});

test("call() ends at its deadline, also for calls that wait for their turn, and later ones get through", async () => {
  const hung: (() => void)[] = [];
  serve("slow", {
    "VolumeDriver.Get": () => new Promise<void>((resolve) => void hung.push(resolve)),
    "VolumeDriver.List": () => ({ ok: 1 }),
  });
  const plugin = await plugins(300).get("slow", "VolumeDriver");
  const calls = Array.from({ length: 40 }, () => plugin.call("VolumeDriver.Get", {}));
  for (const { status, reason } of (await Promise.allSettled(calls)) as PromiseRejectedResult[]) {
    expect(status).toBe("rejected");
    expect(String(reason)).toContain('VolumeDriver.Get: plugin "slow" did not answer within 0.3 s (--plugin-timeout)');
  }
  expect(await plugin.call("VolumeDriver.List", {}, { timeoutMs: 5000 })).toEqual({ ok: 1 });
  for (const end of hung) end();
});

test("get() waits for a plug-in that is starting, and not for one without a listener when told so", async () => {
  mkdirSync(`${root}/etc`);
  writeFileSync(`${root}/etc/late.spec`, `unix://${root}/late.sock`);
  expect(plugins().get("late", "VolumeDriver", { retry: false })).rejects.toThrow('call plugin "late"');
  const found = plugins().get("late", "VolumeDriver");
  await Bun.sleep(150);
  servers.push(Bun.serve({ unix: `${root}/late.sock`, fetch: handler({}, ["VolumeDriver"]) }));
  expect((await found).name).toBe("late");
});
