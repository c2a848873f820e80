/** Logins at Debian's registry with a password file, by docker's command line and by ours. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { Daemon, until } from "../daemon.ts";

const ROOT = join(import.meta.dir, "../../..");
const OURS = [process.execPath, "--no-env-file", "--config=/dev/null", join(ROOT, "src/main.ts")];

const daemon = await Daemon.start();
const port = await freePort();
const registry = await startRegistry();
afterAll(async () => {
  registry.kill("SIGKILL");
  await registry.exited;
  await daemon[Symbol.asyncDispose]();
});
const server = `127.0.0.1:${port}`;

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function startRegistry(): Promise<Bun.Subprocess> {
  const found = Bun.spawnSync(["sh", join(ROOT, "scripts/docker-registry.sh")]);
  if (found.exitCode !== 0) throw new Error(found.stderr.toString());
  const users = join(daemon.dir, "htpasswd");
  writeFileSync(users, `joe:${Bun.password.hashSync("secret", { algorithm: "bcrypt", cost: 4 })}\n`);
  const config = join(daemon.dir, "registry.yml");
  writeFileSync(
    config,
    JSON.stringify({
      ...{ version: 0.1, log: { level: "error" }, storage: { inmemory: {} }, http: { addr: `127.0.0.1:${port}` } },
      auth: { htpasswd: { realm: "test", path: users } },
    }),
  );
  const child = Bun.spawn([found.stdout.toString().trim(), "serve", config], { stdout: "ignore", stderr: "ignore" });
  await until("the registry answers", async () => (await fetch(`http://127.0.0.1:${port}/v2/`).catch(() => undefined))?.status === 401);
  return child;
}

interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

/** Our command line, with a configuration of its own. */
async function ours(configDir: string, args: readonly string[], options: { readonly stdin?: string; readonly path?: string } = {}) {
  const child = Bun.spawn([...OURS, ...args], {
    env: {
      PATH: `${options.path ?? ""}:${process.env["PATH"] ?? ""}`,
      DOCKER_HOST: daemon.host,
      DOCKER_CONFIG: configDir,
      DHOW_ARGV0: "docker",
    },
    stdin: Buffer.from(options.stdin ?? ""),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { stdout, stderr, exitCode } satisfies Finished;
}

const configOf = (dir: string): Record<string, unknown> => JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));
const KEPT = { auth: Buffer.from("joe:secret").toString("base64") };

test("docker login and logout", async () => {
  const login = (password: string) => daemon.dockerWith({ stdin: password }, "login", "-u", "joe", "--password-stdin", server);
  expect(await login("secret\n")).toMatchObject({ stdout: "Login Succeeded\n", exitCode: 0 });
  expect(configOf(join(daemon.dir, "docker-config"))["auths"]).toEqual({ [server]: KEPT });
  const refused = await login("wrong");
  expect(refused.exitCode).toBe(1);
  expect(refused.stderr).toContain(`login attempt to http://${server}/v2/ failed with status: 401 Unauthorized`);
  expect((await daemon.docker("login", server)).stdout).toContain("Login Succeeded");
  expect(await daemon.ok("logout", server)).toBe(`Removing login credentials for ${server}`);
});

test("our login keeps credentials as docker does, and uses them again", async () => {
  const dir = join(daemon.dir, "ours");
  const first = await ours(dir, ["login", "-u", "joe", "--password-stdin", `http://${server}/v2/`], { stdin: "secret\n" });
  expect(first).toMatchObject({ stdout: "Login Succeeded\n", exitCode: 0 });
  expect(first.stderr).toContain(`WARNING! Your credentials are stored unencrypted in '${dir}/config.json'.`);
  expect(configOf(dir)).toEqual({ auths: { [server]: KEPT } });
  const again = await ours(dir, ["login", server]);
  expect(again).toMatchObject({ stdout: "Login Succeeded\n", exitCode: 0 });
  expect(again.stderr).toStartWith("Authenticating with existing credentials... [Username: joe]\n");
  const wrong = await ours(dir, ["login", "-u", "joe", "-p", "wrong", server]);
  expect(wrong.stderr).toContain(
    "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\nError response from daemon: login",
  );
  expect(configOf(dir)).toEqual({ auths: { [server]: KEPT } });
  expect(await ours(dir, ["logout", server])).toMatchObject({ stdout: `Removing login credentials for ${server}\n`, exitCode: 0 });
  expect(configOf(dir)).toEqual({ auths: {} });
  expect((await ours(dir, ["login", server])).stderr).toBe("Error: Cannot perform an interactive login from a non TTY device\n");
});

test("a credential helper keeps the secret", async () => {
  const [dir, path, vault] = ["helped", "bin", "vault"].map((name) => join(daemon.dir, name)) as [string, string, string];
  for (const made of [dir, path]) mkdirSync(made);
  writeFileSync(join(dir, "config.json"), JSON.stringify({ auths: {}, credsStore: "test", psFormat: "x" }));
  const helper = join(path, "docker-credential-test");
  const missing = "{ echo credentials not found in native keychain; exit 1; }";
  writeFileSync(
    helper,
    `#!/bin/sh\ncase $1 in store) cat >${vault};; get) cat >/dev/null; cat ${vault} 2>/dev/null || ${missing};; erase) rm ${vault} || ${missing};; esac\n`,
  );
  chmodSync(helper, 0o755);
  expect(await ours(dir, ["login", "-u", "joe", "--password-stdin", server], { stdin: "secret", path })).toEqual({
    stdout: "Login Succeeded\n",
    stderr: "",
    exitCode: 0,
  });
  expect(JSON.parse(readFileSync(vault, "utf8"))).toEqual({ ServerURL: server, Username: "joe", Secret: "secret" });
  expect(configOf(dir)).toEqual({ auths: { [server]: {} }, credsStore: "test", psFormat: "x" });
  expect((await ours(dir, ["login", server], { path })).stdout).toBe("Login Succeeded\n");
  expect((await ours(dir, ["logout", server], { path })).exitCode).toBe(0);
  expect(configOf(dir)).toEqual({ auths: {}, credsStore: "test", psFormat: "x" });
  expect(await Bun.file(vault).exists()).toBe(false);
});
