import { afterAll, beforeAll, expect, test } from "bun:test";
import { Daemon } from "../daemon.ts";

const asked: string[] = [];
const proxy = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: ({ url }) => {
    asked.push(url);
    return new Response("the proxy says no", { status: 403 });
  },
});
const own = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("not here", { status: 404 }) });
let daemon: Daemon;

beforeAll(async () => {
  const url = `http://joe:secret@127.0.0.1:${proxy.port}`;
  const args = ["--http-proxy", url, "--no-proxy", "spared.invalid"];
  daemon = await Daemon.start({ withImage: false, args, under: ["env", "http_proxy=http://me:hidden@before.invalid"] });
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  await Promise.all([proxy.stop(true), own.stop(true)]);
});

test("what the daemon gets comes through its proxy, but for who is spared and this machine", async () => {
  const said = async (url: string): Promise<string> => (await daemon.docker("import", url)).stderr;
  expect(await said("http://rootfs.invalid/r.tar")).toContain("with status 403 Forbidden: the proxy says no");
  expect(asked).toEqual(["http://rootfs.invalid/r.tar"]);
  expect(await said("http://spared.invalid/r.tar")).toContain("dial tcp: lookup spared.invalid");
  expect(await said(`http://127.0.0.1:${own.port}/r.tar`)).toContain("with status 404 Not Found: not here");
  expect(asked).toHaveLength(1);
});

test("info tells of the proxies, and nothing of their passwords", async () => {
  const { json } = await daemon.api<Record<string, string>>("GET", "/info");
  const { HttpProxy, HttpsProxy, NoProxy } = json;
  expect([HttpProxy, HttpsProxy, NoProxy]).toEqual([`http://xxxxx:xxxxx@127.0.0.1:${proxy.port}`, "", "spared.invalid"]);
  expect(daemon.log).toContain("overriding existing proxy variable");
  expect(daemon.log).toContain("http://xxxxx:xxxxx@before.invalid");
  expect(daemon.log).not.toMatch(/secret|hidden/);
});
