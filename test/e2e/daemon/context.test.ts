/** Contexts: dhow and docker read and write the same files. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { deflateRawSync } from "node:zlib";
import { type Certificates, makeCertificates } from "../../certificates.ts";
import { Daemon, dockerCli, type Finished, until } from "../daemon.ts";

const DHOW = join(import.meta.dir, "../../../dhow");

let dir: string;
let config: string;
let certificates: Certificates;
let daemon: Daemon;
let tcp: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "dhow-context-"));
  config = join(dir, "config");
  certificates = makeCertificates(join(dir, "certificates"));
  const { ca, server } = certificates;
  const files = [`--tlscacert=${ca}`, `--tlscert=${server.cert}`, `--tlskey=${server.key}`];
  daemon = await Daemon.start({ withImage: false, args: ["-H", "tcp://127.0.0.1:0", "--tlsverify", ...files] });
  const port = await until("the TCP socket", () => /tcp:\/\/127\.0\.0\.1:(\d+)/.exec(daemon.log)?.[1]);
  tcp = `tcp://127.0.0.1:${port}`;
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

/** Without DOCKER_HOST unless `env` has it: for docker 20.10 an empty one is one, too. */
function run(cli: string, env: Readonly<Record<string, string>>, ...args: readonly string[]): Promise<Finished> {
  const options = { cwd: dir, env: { DOCKER_CONFIG: config, ...env } };
  if ("DOCKER_HOST" in env) return daemon.dockerWith({ ...options, cli }, ...args);
  return daemon.dockerWith({ ...options, cli: "env" }, "-u", "DOCKER_HOST", cli, ...args);
}

const dhow = (...args: readonly string[]): Promise<Finished> => run(DHOW, {}, ...args);
const docker = (...args: readonly string[]): Promise<Finished> => run(dockerCli, {}, ...args);

function withTls(): string {
  return `host=${tcp},ca=${certificates.ca},cert=${certificates.client.cert},key=${certificates.client.key}`;
}

test("hosts that no command could use are refused, in docker's words", async () => {
  const refused = async (pairs: string): Promise<string> =>
    (await dhow("context", "create", "bad", "--docker", pairs)).stderr.split("\n")[0] ?? "";
  const prefix = "unable to create docker endpoint config:";
  expect(await refused("host=a")).toBe(`${prefix} unable to apply docker endpoint options: unable to parse docker host \`a\``);
  const noHost = "invalid docker endpoint options: ssh host connection is not valid: invalid SSH URL: hostname is empty";
  for (const host of ["ssh://", "ssh://user@", "ssh://:22"]) expect(await refused(`host=${host}`)).toBe(`${prefix} ${noHost}`);
  expect(await refused("host=tcp://[::1")).toBe(`${prefix} invalid docker endpoint options: parse "tcp://[::1": missing ']' in host`);
  expect(await refused("x")).toBe('invalid argument "x" for "--docker" flag: x must be formatted as key=value');
  const names = (await dhow("context", "ls", "-q")).stdout;
  expect(names).toBe("default\n");
});

for (const [maker, make, user, use] of [
  ["dhow", dhow, "docker", docker],
  ["docker", docker, "dhow", dhow],
] as const) {
  test(`what ${maker} makes, ${user} uses, shows and exports`, async () => {
    const name = `by-${maker}`;
    const made = await make("context", "create", name, "--description", `made by ${maker}`, "--docker", withTls());
    expect(made).toEqual({ stdout: `${name}\n`, stderr: `Successfully created context "${name}"\n`, exitCode: 0 });
    expect(await use("--context", name, "ps", "-q")).toEqual({ stdout: "", stderr: "", exitCode: 0 });
    const [mine, theirs] = await Promise.all([make("context", "inspect", name), use("context", "inspect", name)]);
    expect(JSON.parse(theirs.stdout)).toEqual(JSON.parse(mine.stdout));
    // and through an archive to the other one again
    const file = join(dir, `${name}.archive`);
    expect((await use("context", "export", name, file)).exitCode).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect((await make("context", "import", `${name}-again`, file)).exitCode).toBe(0);
    expect((await make("--context", `${name}-again`, "ps", "-q")).exitCode).toBe(0);
  });
}

test("keys are for their owner alone", async () => {
  const { stdout } = await dhow("context", "inspect", "by-dhow");
  const [{ Storage }] = JSON.parse(stdout) as [{ readonly Storage: { readonly TLSPath: string } }];
  expect(statSync(Storage.TLSPath).mode & 0o777).toBe(0o700);
  expect(statSync(join(Storage.TLSPath, "docker", "key.pem")).mode & 0o777).toBe(0o600);
});

test("use chooses for both, and what else config.json holds stays", async () => {
  const path = join(config, "config.json");
  writeFileSync(path, '{"auths":{},"detachKeys":"ctrl-x","plugins":{"x":{"y":"z"}}}');
  expect(await dhow("context", "use", "by-dhow")).toEqual({
    stdout: "by-dhow\n",
    stderr: 'Current context is now "by-dhow"\n',
    exitCode: 0,
  });
  expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({
    currentContext: "by-dhow",
    detachKeys: "ctrl-x",
    plugins: { x: { y: "z" } },
  });
  for (const cli of [dhow, docker]) {
    expect((await cli("ps", "-q")).exitCode).toBe(0);
    expect((await cli("context", "ls", "--format", "{{if .Current}}{{.Name}}{{end}}")).stdout.trim()).toBe("by-dhow");
  }
  expect((await dhow("context", "show")).stdout).toBe("by-dhow\n");
  expect((await dhow("context", "rm", "by-dhow")).stderr).toBe('context "by-dhow" is in use, set -f flag to force remove\n');
  expect((await docker("context", "use", "default")).exitCode).toBe(0);
  expect((await dhow("context", "show")).stdout).toBe("default\n");
});

test("the precedence is docker's: flag, host, variable, choice", async () => {
  await dhow("context", "create", "nowhere", "--docker", "host=tcp://127.0.0.1:1");
  await dhow("context", "use", "nowhere");
  const show = async (env: Record<string, string>, ...flags: readonly string[]): Promise<string> =>
    (await run(DHOW, env, ...flags, "context", "show")).stdout.trim();
  expect(await show({})).toBe("nowhere");
  expect(await show({ DOCKER_CONTEXT: "by-dhow" })).toBe("by-dhow");
  expect(await show({ DOCKER_CONTEXT: "by-dhow", DOCKER_HOST: daemon.host })).toBe("default");
  expect(await show({ DOCKER_HOST: daemon.host }, "--context", "by-dhow")).toBe("by-dhow");
  expect(await show({}, "-H", daemon.host)).toBe("default");
  expect((await run(DHOW, { DOCKER_HOST: daemon.host }, "ps", "-q")).exitCode).toBe(0);
  const { stderr } = await run(DHOW, { DOCKER_HOST: daemon.host }, "context", "use", "by-dhow");
  expect(stderr).toContain('Warning: DOCKER_HOST environment variable overrides the active context. To use "by-dhow", either set');
  const refused = await run(DHOW, {}, "--context", "by-dhow", "-H", daemon.host, "ps");
  expect(refused).toMatchObject({ stderr: "conflicting options: cannot specify both --host and --context\n", exitCode: 1 });
  await dhow("context", "use", "default");
});

test("a context that isn't there is told", async () => {
  const { stderr, exitCode } = await run(DHOW, { DOCKER_CONTEXT: "missing" }, "ps");
  expect(exitCode).toBe(1);
  expect(stderr).toStartWith('Failed to initialize: unable to resolve docker endpoint: context "missing": context not found: open ');
  const { stdout } = await run(DHOW, { DOCKER_CONTEXT: "missing" }, "context", "ls", "--format", "json");
  const rows = stdout.trim().split("\n");
  expect(rows.map((row) => JSON.parse(row) as { Name: string; Current: boolean }).find(({ Current }) => Current)?.Name).toBe("missing");
});

test("update replaces an endpoint with its certificates; rm takes all of it away", async () => {
  await dhow("context", "create", "changing", "--docker", withTls());
  const { stdout } = await dhow("context", "inspect", "changing");
  const [{ Storage }] = JSON.parse(stdout) as [{ readonly Storage: Readonly<Record<"TLSPath" | "MetadataPath", string>> }];
  await dhow("context", "update", "changing", "--docker", `host=${daemon.host}`, "--description", "new");
  const after = JSON.parse((await docker("context", "inspect", "changing")).stdout)[0];
  expect(after).toMatchObject({ Metadata: { Description: "new" }, Endpoints: { docker: { Host: daemon.host } }, TLSMaterial: {} });
  expect(await dhow("context", "rm", "changing", "missing")).toEqual({
    stdout: "changing\n",
    stderr: 'context "missing" does not exist\n',
    exitCode: 1,
  });
  expect([existsSync(Storage.MetadataPath), existsSync(Storage.TLSPath)]).toEqual([false, false]);
});

/** A zip with deflated files, as other tools make them. */
function zip(files: Readonly<Record<string, string>>): Buffer {
  const parts: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const [name, text] of Object.entries(files)) {
    const data = deflateRawSync(text);
    const sizes = Buffer.alloc(12);
    sizes.writeUInt32LE(data.length, 4);
    sizes.writeUInt32LE(text.length, 8);
    const common = Buffer.concat([Buffer.from([20, 0, 0, 0, 8, 0, 0, 0, 0, 0]), sizes, Buffer.from([name.length, 0, 0, 0])]);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, Buffer.from(name), data]);
    const at = Buffer.alloc(14);
    at.writeUInt32LE(offset, 10);
    central.push(Buffer.concat([Buffer.from("PK\x01\x02"), Buffer.from([20, 0]), common, at, Buffer.from(name)]));
    parts.push(local);
    offset += local.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(central.length, 8);
  end.writeUInt16LE(central.length, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...parts, directory, end]);
}

const META = JSON.stringify({ Name: "x", Metadata: {}, Endpoints: { docker: { Host: "tcp://x:1", SkipTLSVerify: false } } });

test("import takes a zip, and refuses names that lead elsewhere", async () => {
  const file = join(dir, "context.zip");
  writeFileSync(file, zip({ "meta.json": META, "tls/docker/ca.pem": "authority" }));
  for (const [name, cli] of [
    ["zip-dhow", dhow],
    ["zip-docker", docker],
  ] as const) {
    expect((await cli("context", "import", name, file)).exitCode).toBe(0);
    const { stdout } = await cli("context", "inspect", name);
    expect(JSON.parse(stdout)[0]).toMatchObject({ Name: name, TLSMaterial: { docker: ["ca.pem"] } });
  }
  for (const path of ["../../x", "tls/../../x", "tls/docker/..", "other.json", "tls/docker/a/b", "/tls/docker/x"]) {
    writeFileSync(file, zip({ "meta.json": META, [path]: "evil" }));
    expect([path, (await dhow("context", "import", "evil", file)).stderr]).toEqual([path, "unexpected context file\n"]);
  }
  expect((await dhow("context", "inspect", "evil")).exitCode).toBe(1);
});

test("a config.json that is none is told, not in the way, and not written over", async () => {
  const broken = join(dir, "broken");
  mkdirSync(broken, { recursive: true });
  writeFileSync(join(broken, "config.json"), '{"auths": ');
  const listed = await run(DHOW, { DOCKER_CONFIG: broken }, "context", "show");
  expect(listed).toMatchObject({ stdout: "default\n", exitCode: 0 });
  expect(listed.stderr).toStartWith("WARNING: ");
  expect(listed.stderr).toContain(`${broken}/config.json`);
  expect(listed.stderr.trim().split("\n")).toHaveLength(1);
  await run(DHOW, { DOCKER_CONFIG: broken }, "context", "create", "some", "--docker", "host=tcp://x:1");
  const used = await run(DHOW, { DOCKER_CONFIG: broken }, "context", "use", "some");
  expect(used.exitCode).toBe(1);
  expect(readFileSync(join(broken, "config.json"), "utf8")).toBe('{"auths": ');
});
