/** The API over TCP with TLS, as docker's command line and dhow's own speak it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect as connectTcp } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { type Certificates, type KeyPair, makeCertificates, readPair } from "../../certificates.ts";
import { Daemon, dockerCli, type Finished, until } from "../daemon.ts";

const DHOW = join(import.meta.dir, "../../../dhow");
/** Both command lines have to do the same. */
const CLIS = [
  ["docker", dockerCli],
  ["dhow", DHOW],
] as const;

let dir: string;
let certificates: Certificates;
let daemon: Daemon;
let port: number;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "dhow-tls-"));
  certificates = makeCertificates(dir);
  const { ca, server } = certificates;
  const files = [`--tlscacert=${ca}`, `--tlscert=${server.cert}`, `--tlskey=${server.key}`];
  daemon = await Daemon.start({ args: ["-H", "tcp://127.0.0.1:0", "--tlsverify", ...files] });
  const found = await until("the TCP socket", () => /tcp:\/\/127\.0\.0\.1:(\d+)/.exec(daemon.log)?.[1]);
  port = Number(found);
});
afterAll(async () => {
  await daemon[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true, force: true });
});

function run(
  cli: string,
  pair: KeyPair | undefined,
  options: { stdin?: string | Uint8Array<ArrayBuffer> },
  ...args: string[]
): Promise<Finished> {
  const own = pair === undefined ? [] : [`--tlscert=${pair.cert}`, `--tlskey=${pair.key}`];
  const flags = ["--tlsverify", `--tlscacert=${certificates.ca}`, ...own, "-H", `tcp://localhost:${port}`];
  return daemon.dockerWith({ ...options, cli, env: { DOCKER_HOST: "" } }, ...flags, ...args);
}

for (const [name, cli] of CLIS) {
  test(`${name}: a client with a certificate drives the engine`, async () => {
    expect(await run(cli, certificates.client, {}, "ps", "-q")).toEqual({ stdout: "", stderr: "", exitCode: 0 });
    const failing = await run(cli, certificates.client, {}, "run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3");
    expect(failing).toEqual({ stdout: "out\n", stderr: "err\n", exitCode: 3 });
  });

  test(`${name}: stdin's end reaches the container, and what it says then comes back`, async () => {
    const stdin = new Uint8Array(3_000_000);
    const { stdout } = await run(cli, certificates.client, { stdin }, "run", "-i", "--rm", "busybox", "sh", "-c", "wc -c; echo after");
    expect(stdout).toBe("3000000\nafter\n");
  });

  test(`${name}: exec with stdin works over it`, async () => {
    const { stdout: id } = await run(cli, certificates.client, {}, "run", "-d", "busybox", "top");
    const { stdout } = await run(cli, certificates.client, { stdin: "hello" }, "exec", "-i", id.trim(), "sh", "-c", "cat; echo .");
    expect(stdout).toBe("hello.\n");
    await run(cli, certificates.client, {}, "rm", "-f", id.trim());
  });

  test(`${name}: without a certificate nothing is answered`, async () => {
    const { stdout, stderr, exitCode } = await run(cli, undefined, {}, "ps");
    expect({ stdout, exitCode }).toEqual({ stdout: "", exitCode: 1 });
    expect(stderr).toContain("tls: client didn't provide a certificate");
  });

  test(`${name}: a certificate that has expired isn't good enough`, async () => {
    const { stderr, exitCode } = await run(cli, certificates.expired, {}, "ps");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("x509: certificate has expired or is not yet valid");
  });

  test(`${name}: the server's certificate is looked at, too`, async () => {
    const flags = ["--tlsverify", `--tlscacert=${certificates.foreign.cert}`, "-H", `tcp://localhost:${port}`];
    const { stderr, exitCode } = await daemon.dockerWith({ cli, env: { DOCKER_HOST: "" } }, ...flags, "ps");
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/x509: certificate signed by unknown authority/);
  });

  test(`${name}: DOCKER_API_VERSION fixes the version, and a template finds it by Go's name`, async () => {
    const format = "{{.Client.APIVersion}} {{.Server.MinAPIVersion}}";
    const { stdout } = await daemon.dockerWith({ cli, env: { DOCKER_API_VERSION: "1.40" } }, "version", "-f", format);
    expect(stdout).toBe("1.40 1.24\n");
  });

  test(`${name}: DOCKER_CERT_PATH and DOCKER_TLS_VERIFY say the same as the flags`, async () => {
    const path = join(dir, `env-${name}`);
    mkdirSync(path, { recursive: true });
    copyFileSync(certificates.ca, join(path, "ca.pem"));
    copyFileSync(certificates.client.cert, join(path, "cert.pem"));
    copyFileSync(certificates.client.key, join(path, "key.pem"));
    const env = { DOCKER_HOST: `tcp://127.0.0.1:${port}`, DOCKER_CERT_PATH: path, DOCKER_TLS_VERIFY: "1" };
    expect(await daemon.dockerWith({ cli, env }, "ps", "-q")).toEqual({ stdout: "", stderr: "", exitCode: 0 });
  });
}

/** Sends a request over TLS; returns all that comes back. */
function ask(pair: KeyPair | undefined, head: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = "";
    const own = pair === undefined ? {} : readPair(pair);
    const socket = connect({ host: "127.0.0.1", port, ca: readFileSync(certificates.ca, "utf8"), ...own });
    socket.on("secureConnect", () => socket.write(`${[...head, "Connection: close", "", ""].join("\r\n")}`));
    socket.on("data", (data: Buffer) => {
      text += data.toString();
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
  });
}

const CREATE = ["POST /containers/create?name=evil HTTP/1.1", "Host: localhost", "Content-Type: application/json"];
const BODY = '{"Image":"busybox"}';

test("a certificate of another authority is refused, whatever it asks for, and nothing is made", async () => {
  for (const pair of [undefined, certificates.foreign, certificates.expired, certificates.server]) {
    const answer = await ask(pair, [...CREATE, `Content-Length: ${BODY.length}`, "", BODY]);
    expect(answer).toStartWith("HTTP/1.1 401 Unauthorized\r\n");
    expect(answer).toContain('{"message":"tls: ');
  }
  expect((await daemon.api("GET", "/containers/evil/json")).status).toBe(404);
});

/** The first bytes of an answer over a new connection, and the session that it leaves. */
function greet(pair: KeyPair | undefined, session?: Buffer): Promise<{ readonly answer: string; readonly session: Buffer | undefined }> {
  return new Promise((resolve, reject) => {
    let left: Buffer | undefined;
    const own = pair === undefined ? {} : readPair(pair);
    const ca = readFileSync(certificates.ca, "utf8");
    const socket = connect({ host: "127.0.0.1", port, ca, ...own, ...(session === undefined ? {} : { session }), maxVersion: "TLSv1.2" });
    socket.on("session", (kept: Buffer) => {
      left = kept;
    });
    socket.on("secureConnect", () => socket.write("GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    socket.once("data", (data: Buffer) => {
      left ??= socket.getSession();
      socket.destroy();
      resolve({ answer: data.toString().split("\r\n")[0] ?? "", session: left });
    });
    socket.on("error", reject);
  });
}

test("a session of a client that was known is worth nothing without its certificate", async () => {
  const known = await greet(certificates.client);
  expect(known.answer).toBe("HTTP/1.1 200 OK");
  expect(known.session).toBeInstanceOf(Buffer);
  expect((await greet(undefined, known.session)).answer).toBe("HTTP/1.1 401 Unauthorized");
});

test("a client that has shown who it is may call the engine by any name, but no web page may use it", async () => {
  expect(await ask(certificates.client, ["GET /_ping HTTP/1.1", "Host: any.example"])).toStartWith("HTTP/1.1 200 OK\r\n");
  const foreign = await ask(certificates.client, ["GET /_ping HTTP/1.1", "Host: localhost", "Origin: https://evil.example"]);
  expect(foreign).toStartWith("HTTP/1.1 403 Forbidden\r\n");
});

test("clients that say nothing, or no TLS, hold nobody up", async () => {
  const sockets = Array.from({ length: 50 }, () => connectTcp({ host: "127.0.0.1", port }));
  try {
    for (const [index, socket] of sockets.entries()) {
      socket.on("error", () => {});
      // half a handshake's first record
      if (index % 2 === 0) socket.write(Buffer.from([22, 3, 1, 2, 0, 1]));
    }
    const plain = connectTcp({ host: "127.0.0.1", port });
    const ended = new Promise((resolve) => plain.on("close", resolve).on("error", () => {}));
    plain.write("GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
    plain.resume();
    await ended;
    expect((await run(dockerCli, certificates.client, {}, "ps", "-q")).exitCode).toBe(0);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

/** What a daemon with these arguments ends with. */
async function refusal(...args: readonly string[]): Promise<string> {
  const child = Bun.spawn([DHOW, "daemon", "--validate", ...args], { stdout: "ignore", stderr: "pipe" });
  const text = await child.stderr.text();
  expect(await child.exited).toBe(1);
  return text.trim();
}

test("a TCP socket takes more than -H", async () => {
  const text = await refusal("-H", "tcp://127.0.0.1:2375");
  expect(text).toContain("use --tlsverify, or say so explicitly by '--tls=false' or '--tlsverify=false'");
});

test("files that are no key pair are told in dockerd's words", async () => {
  const { server, client } = certificates;
  const start = async (...args: readonly string[]): Promise<string> =>
    (await refusal("-H", "tcp://127.0.0.1:0", "--tlsverify", ...args)).replaceAll(dir, "");
  const pair = 'X509 key pair (cert: "/server.pem", key: "/none")';
  expect(await start(`--tlscert=${server.cert}`, `--tlskey=${dir}/none`)).toBe(
    `invalid TLS configuration: could not load ${pair}: open /none: no such file or directory`,
  );
  expect(await start(`--tlscert=${server.cert}`, `--tlskey=${client.key}`)).toContain("tls: private key does not match public key");
  expect(await start(`--tlscert=${server.cert}`, `--tlskey=${server.key}`, `--tlscacert=${dir}/no`)).toBe(
    'invalid TLS configuration: could not read CA certificate "/no": open /no: no such file or directory',
  );
  expect(await start(`--tlscert=${server.cert}`, `--tlskey=${server.key}`, `--tlscacert=${server.key}`)).toBe(
    'invalid TLS configuration: failed to append certificates from PEM file: "/server-key.pem"',
  );
});

test("/info warns of a socket that lets anybody in, and a web page is not let in", async () => {
  await using open = await Daemon.start({ withImage: false, args: ["-H", "tcp://127.0.0.1:0", "--tls=false"] });
  const address = await until("the TCP socket", () => /API listen on.*tcp:\/\/(127\.0\.0\.1:\d+)/.exec(open.log)?.[1]);
  expect(open.log).toContain("Binding to IP address without --tlsverify is insecure and gives root access on this machine to everyone");
  const { json } = await open.api<{ readonly Warnings: readonly string[] }>("GET", "/info");
  expect(json.Warnings[0]).toStartWith(
    "WARNING: API is accessible on http://127.0.0.1:0 without encryption.\n         Access to the remote API",
  );
  const listed = await open.dockerWith({ env: { DOCKER_HOST: `tcp://${address}` } }, "ps", "-q");
  expect(listed).toEqual({ stdout: "", stderr: "", exitCode: 0 });
  expect((await fetch(`http://${address}/_ping`, { headers: { Origin: "https://evil.example" } })).status).toBe(403);
  expect((await fetch(`http://${address}/_ping`, { headers: { Host: "evil.example" } })).status).toBe(403);
});

test("SIGHUP takes new certificates for new connections, and none that are broken", async () => {
  const others = makeCertificates(join(dir, "others"));
  const former = readPair(certificates.server);
  const files = [certificates.ca, certificates.server.cert, certificates.server.key];
  const kept = files.map((path) => readFileSync(path));
  const open = connect({ host: "127.0.0.1", port, ca: kept[0], ...readPair(certificates.client) });
  await new Promise((resolve) => open.on("secureConnect", resolve));
  const reloads = (): number => daemon.log.split("configuration").length;
  const hangUp = async (): Promise<void> => {
    const before = reloads();
    process.kill(daemon.pid, "SIGHUP");
    await until("the reload", () => reloads() >= before + 2);
  };
  writeFileSync(certificates.server.key, "no key");
  await hangUp();
  expect(daemon.log).toContain("make sure the key is not encrypted");
  expect(await ask(certificates.client, ["GET /_ping HTTP/1.1", "Host: localhost"])).toStartWith("HTTP/1.1 200 OK");
  try {
    for (const [index, path] of [others.ca, others.server.cert, others.server.key].entries()) copyFileSync(path, files[index] ?? "");
    await hangUp();
    const get = ["GET /_ping HTTP/1.1", "Host: localhost"];
    expect(await ask(others.client, get)).toStartWith("HTTP/1.1 200 OK");
    for (const pair of [certificates.client, undefined]) expect(await ask(pair, get)).toStartWith("HTTP/1.1 401 Unauthorized");
    expect(readPair(certificates.server)).not.toEqual(former);
    // who was let in before goes on
    const answer = new Promise<string>((resolve) => open.once("data", (data: Buffer) => resolve(data.toString())));
    open.write("GET /_ping HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect(await answer).toStartWith("HTTP/1.1 200 OK");
  } finally {
    open.destroy();
    for (const [index, path] of files.entries()) writeFileSync(path, kept[index] ?? "");
    await hangUp();
  }
});
