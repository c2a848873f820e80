import { afterAll, expect, test } from "bun:test";
import { InsecureRegistries } from "./insecure.ts";
import { type Credentials, login } from "./login.ts";

const BASIC = `Basic ${Buffer.from("joe:secret").toString("base64")}`;
const asked: string[] = [];

/** A registry behind a service for tokens, both on one address. */
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch: async (request): Promise<Response> => {
    const url = new URL(request.url);
    const authorization = request.headers.get("authorization");
    asked.push(`${request.method} ${url.pathname}${url.search} ${await request.text()}`.trim());
    if (url.pathname === "/token" && request.method === "POST") return Response.json({ access_token: "good", refresh_token: "next" });
    if (url.pathname === "/token") {
      if (authorization === BASIC) return Response.json({ token: "good", refresh_token: "keep" });
      if (authorization === null) return Response.json({ errors: [{ code: "DENIED", message: "who are you" }] }, { status: 403 });
      return Response.json({ details: "incorrect username or password" }, { status: 401 });
    }
    if (authorization === "Bearer good") return Response.json({});
    const challenge = `Bearer realm="http://127.0.0.1:${server.port}/token",service="test"`;
    return Response.json({}, { status: 401, headers: { "WWW-Authenticate": challenge } });
  },
});
afterAll(() => server.stop(true));

const open = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => Response.json({}) });
const broken = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("no", { status: 503 }) });
afterAll(() => Promise.all([open.stop(true), broken.stop(true)]));

const insecure = new InsecureRegistries([]);
const credentials = (given: Partial<Credentials>): Credentials => ({ username: "", password: "", identityToken: "", ...given });
const at = (port: number | undefined, given: Partial<Credentials>, prefix = ""): Promise<string> =>
  login(credentials(given), { serverAddress: `${prefix}127.0.0.1:${port}`, insecure });
const rejected = async (work: Promise<string>): Promise<{ readonly kind: string; readonly message: string }> =>
  work.then(
    () => ({ kind: "none", message: "" }),
    ({ kind, message }: { kind: string; message: string }) => ({ kind, message }),
  );

test("login() gets a token from the service that the registry names", async () => {
  asked.length = 0;
  expect(await at(server.port, { username: "joe", password: "secret" })).toBe("keep");
  expect(asked).toEqual(["GET /v2/", "GET /token?account=joe&client_id=docker&offline_token=true&service=test", "GET /v2/"]);
});

test("login() takes an identity token in the place of a password", async () => {
  asked.length = 0;
  expect(await at(server.port, { username: "joe", identityToken: "keep" }, "http://")).toBe("next");
  expect(asked[1]).toBe("POST /token client_id=docker&grant_type=refresh_token&refresh_token=keep&scope=&service=test");
});

test("login() tells who is not let in, and why", async () => {
  const url = `"http://127.0.0.1:${server.port}/v2/"`;
  expect(await rejected(at(server.port, { username: "joe", password: "wrong" }))).toEqual({
    kind: "unauthenticated",
    message: `Get ${url}: unauthorized: incorrect username or password`,
  });
  expect(await rejected(at(server.port, {}))).toEqual({ kind: "internal", message: `Get ${url}: denied: who are you` });
});

test("login() to a registry that asks for nothing, that is ill, that is not there", async () => {
  expect(await at(open.port, { username: "joe", password: "x" })).toBe("");
  expect((await rejected(at(broken.port, {}))).message).toBe(
    `login attempt to http://127.0.0.1:${broken.port}/v2/ failed with status: 503 Service Unavailable`,
  );
  expect((await rejected(at(1, {}))).message).toBe('Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused');
  expect(await rejected(login(credentials({}), { serverAddress: "http://%zz", insecure }))).toMatchObject({ kind: "invalid" });
});

test("InsecureRegistries: loopback, names with their port, networks", async () => {
  const registries = new InsecureRegistries(["registry.test:5000", "10.1.0.0/16", "fd00::/8"]);
  for (const host of ["127.0.0.1:5000", "127.8.9.1", "localhost:5000", "[::1]:80", "registry.test:5000", "10.1.2.3:443", "[fd00::5]"]) {
    expect([host, await registries.includes(host)]).toEqual([host, true]);
  }
  for (const host of ["registry.test", "registry.invalid:5000", "10.2.0.1", "192.0.2.1:5000", "[2001:db8::1]"]) {
    expect([host, await registries.includes(host)]).toEqual([host, false]);
  }
});
