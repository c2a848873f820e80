import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, inflateSync } from "node:zlib";
import { encodeMsgpack } from "../../../src/runtime/logs/msgpack.ts";
import { Daemon, until } from "../daemon.ts";
import { datagramReceiver, decodeAll, streamReceiver } from "./log-receivers.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());
afterEach(() => daemon.removeContainers());

/** Numbered lines, then a mark. */
const COUNT = (lines: number): string => `i=0; while [ $i -lt ${lines} ]; do echo line $i; i=$((i+1)); done`;

function syslog(port: number, ...options: readonly string[]): string[] {
  return ["--log-driver", "syslog", "--log-opt", `syslog-address=tcp://127.0.0.1:${port}`, ...options.flatMap((o) => ["--log-opt", o])];
}

function numbersOf(text: string): number[] {
  return [...text.matchAll(/: line (\d+)\n/g)].map((match) => Number(match[1]));
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

describe("syslog", () => {
  test("gets lines of both streams, and docker logs reads them here", async () => {
    await using receiver = await streamReceiver();
    await daemon.ok(
      "run",
      "--name",
      "box",
      ...syslog(receiver.port, "tag={{.Name}}/{{.ImageName}}", "syslog-facility=local3"),
      "busybox",
      "sh",
      "-c",
      "echo out; echo err >&2",
    );
    await until("both lines", () => receiver.text().split("\n").length === 3);
    const lines = receiver.text().trim().split("\n").sort();
    expect(lines[0]).toMatch(/^<155>\w{3} [ \d]\d \d\d:\d\d:\d\d box\/busybox\[\d+\]: err$/);
    expect(lines[1]).toMatch(/^<158>.* box\/busybox\[\d+\]: out$/);
    const { stdout, stderr } = await daemon.docker("logs", "box");
    expect({ stdout, stderr }).toEqual({ stdout: "out\n", stderr: "err\n" });
  });

  test("a renamed container has its new name from the next start on", async () => {
    await using receiver = await streamReceiver();
    await daemon.ok("run", "--name", "old", ...syslog(receiver.port, "tag={{.Name}}"), "busybox", "echo", "hi");
    await daemon.ok("rename", "old", "new");
    await daemon.ok("start", "-a", "new");
    await until("both lines", () => receiver.text().split("\n").length === 3);
    expect([...receiver.text().matchAll(/ (\w+)\[/g)].map((match) => match[1])).toEqual(["old", "new"]);
  });

  test("a receiver that is not there fails the start", async () => {
    const port = await freePort();
    const { exitCode, stderr } = await daemon.docker("run", "--name", "box", ...syslog(port), "busybox", "true");
    expect(exitCode).toBe(125);
    expect(stderr).toContain(`failed to initialize logging driver: dial tcp 127.0.0.1:${port}: connect: connection refused`);
    expect(await daemon.ok("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box")).toBe("created 128");
  });

  test("blocking: the container waits for a slow receiver, and nothing is lost", async () => {
    await using receiver = await streamReceiver();
    receiver.hang();
    const line = "x".repeat(1000);
    await daemon.ok(
      "run",
      "-d",
      "--name",
      "box",
      ...syslog(receiver.port),
      "busybox",
      "sh",
      "-c",
      `${COUNT(20_000).replace("line $i", `$i ${line}`)}; touch /done`,
    );
    const size = async (): Promise<number> => (await daemon.docker("logs", "--tail", "1", "box")).stdout.length;
    let last = "";
    await until("it stands still", async () => {
      const before = last;
      last = (await daemon.docker("logs", "--tail", "1", "box")).stdout;
      return (await size()) > 0 && last === before;
    });
    expect(await daemon.ok("inspect", "-f", "{{.State.Running}}", "box")).toBe("true");
    receiver.goOn();
    expect(await daemon.ok("wait", "box")).toBe("0");
    await until("the last line", () => receiver.text().includes("]: 19999 x"));
    expect([...receiver.text().matchAll(/\]: (\d+) x/g)].map((match) => Number(match[1]))).toEqual(upTo(20_000));
  });

  test("non-blocking: the container never waits, the newest messages are dropped", async () => {
    await using receiver = await streamReceiver();
    receiver.hang();
    const line = "x".repeat(1000);
    const script = COUNT(20_000).replace("line $i", `$i ${line}`);
    await daemon.ok(
      "run",
      "--name",
      "box",
      ...syslog(receiver.port, "mode=non-blocking", "max-buffer-size=100k"),
      "busybox",
      "sh",
      "-c",
      script,
    );
    expect((await daemon.docker("logs", "box")).stdout.split("\n")).toHaveLength(20_001);
    receiver.goOn();
    await until("what was kept", () => receiver.text().includes("]: 0 x"));
    await daemon.ok("rm", "box");
    const got = [...receiver.text().matchAll(/\]: (\d+) x/g)].map((match) => Number(match[1]));
    expect(got.length).toBeLessThan(20_000);
    expect(got[0]).toBe(0);
    expect([...got].sort((a, b) => a - b)).toEqual(got);
  });

  test("a receiver that goes and comes back gets what was written meanwhile", async () => {
    const first = await streamReceiver();
    await daemon.ok(
      "run",
      "-d",
      "-i",
      "--name",
      "box",
      ...syslog(first.port),
      "busybox",
      "sh",
      "-c",
      "echo line 0; while [ ! -e /go ]; do sleep 0.05; done; echo line 1; echo line 2",
    );
    await until("the first line", () => numbersOf(first.text()).length === 1);
    await first[Symbol.asyncDispose]();
    await daemon.ok("exec", "box", "touch", "/go");
    expect(await daemon.ok("wait", "box")).toBe("0");
    await using second = await streamReceiver({ port: first.port });
    await until("the others", () => numbersOf(second.text()).includes(2));
    expect(numbersOf(second.text())).toEqual([1, 2]);
  });

  test("a daemon that is killed goes on where it was", async () => {
    await using receiver = await streamReceiver();
    await daemon.ok(
      "run",
      "-d",
      "--name",
      "box",
      ...syslog(receiver.port),
      "busybox",
      "sh",
      "-c",
      `${COUNT(1500).replace("; i=", "; [ $((i % 10)) = 0 ] && usleep 1000; i=")}`,
    );
    await until("some lines", () => numbersOf(receiver.text()).length > 100);
    await daemon.kill9();
    await daemon.launch();
    await until("the end", () => numbersOf(receiver.text()).includes(1499));
    const got = numbersOf(receiver.text());
    const once = [...new Set(got)].sort((a, b) => a - b);
    expect(once).toEqual(upTo(1500));
    // those of the batch that was under way
    expect(got.length - once.length).toBeLessThan(100);
    await daemon.restart();
    expect(numbersOf(receiver.text())).toEqual(got);
    expect((await daemon.docker("logs", "box")).stdout).toBe(
      upTo(1500)
        .map((i) => `line ${i}\n`)
        .join(""),
    );
  });

  test("what an ended container has not sent is sent by the next daemon", async () => {
    const first = await streamReceiver();
    await daemon.ok(
      "run",
      "-d",
      "--name",
      "box",
      ...syslog(first.port),
      "busybox",
      "sh",
      "-c",
      "while [ ! -e /go ]; do sleep 0.05; done; echo line 7",
    );
    await first[Symbol.asyncDispose]();
    await daemon.ok("exec", "box", "touch", "/go");
    await daemon.ok("wait", "box");
    await daemon.restart();
    await using second = await streamReceiver({ port: first.port });
    await until("the line", () => numbersOf(second.text()).includes(7));
    expect(numbersOf(second.text())).toEqual([7]);
  });

  test("tcp+tls in RFC 5424 with lengths, certificates checked unless told otherwise", async () => {
    const { key, cert, dir } = certificate();
    await using receiver = await streamReceiver({ tls: { key, cert } });
    const address = `syslog-address=tcp+tls://localhost:${receiver.port}`;
    const options = ["--log-driver", "syslog", "--log-opt", address, "--log-opt", "syslog-format=rfc5424"];
    const refused = await daemon.docker("run", "--rm", ...options, "busybox", "true");
    expect(refused.exitCode).toBe(125);
    expect(refused.stderr).toContain("failed to initialize logging driver");
    await daemon.ok("run", "--rm", ...options, "--log-opt", "syslog-tls-skip-verify=1", "busybox", "echo", "one");
    await daemon.ok("run", "--rm", ...options, "--log-opt", `syslog-tls-ca-cert=${join(dir, "cert.pem")}`, "busybox", "echo", "two");
    await until("both", () => receiver.text().includes("two\n"));
    const [, length, rest = ""] = /^(\d+) (.*)$/s.exec(receiver.text()) ?? [];
    expect(rest.slice(0, Number(length))).toMatch(/^<30>1 \d{4}-\S+ \S+ [0-9a-f]{12} \d+ [0-9a-f]{12} - one\n$/);
    const missing = await daemon.docker("run", "--rm", ...options, "--log-opt", "syslog-tls-ca-cert=/nowhere", "busybox", "true");
    expect(missing.stderr).toContain('could not read CA certificate "/nowhere": open /nowhere: no such file or directory');
    rmSync(dir, { recursive: true });
  });

  test("udp and a unix socket", async () => {
    await using udp = await datagramReceiver();
    const path = join(daemon.dir, "syslog.sock");
    await using unix = await streamReceiver({ path });
    for (const address of [`udp://127.0.0.1:${udp.port}`, `unix://${path}`]) {
      await daemon.ok(
        "run",
        "--rm",
        "--log-driver",
        "syslog",
        "--log-opt",
        `syslog-address=${address}`,
        "busybox",
        "printf",
        "a\\n\\nb\\n",
      );
    }
    await until("udp", () => udp.datagrams.length === 2);
    expect(udp.datagrams.map((data) => data.toString().replace(/^.*\]: /, ""))).toEqual(["a\n", "b\n"]);
    await until("unix", () => unix.text().includes(": b\n"));
  });
});

describe("fluentd", () => {
  const fluentd = (port: number, ...options: readonly string[]): string[] => [
    ...["--log-driver", "fluentd", "--log-opt", `fluentd-address=127.0.0.1:${port}`],
    ...options.flatMap((option) => ["--log-opt", option]),
  ];

  test("gets docker's records, and long lines in parts", async () => {
    await using receiver = await streamReceiver();
    const script = "echo hi; head -c 20000 /dev/zero | tr '\\0' x; echo";
    await daemon.ok(
      "run",
      "--name",
      "box",
      "--label",
      "a=b",
      ...fluentd(receiver.port, "labels=a", "tag=t.{{.Name}}", "fluentd-sub-second-precision=true"),
      "busybox",
      "sh",
      "-c",
      script,
    );
    const events = await until("three events", () => {
      const values = decodeAll(receiver.bytes()) as [string, [number, number], Record<string, string>, object][];
      return values.length === 3 ? values : undefined;
    });
    const id = await daemon.ok("inspect", "-f", "{{.Id}}", "box");
    const [hi, first, last] = events;
    expect(hi).toEqual([
      "t.box",
      [expect.any(Number), expect.any(Number)],
      { container_id: id, container_name: "/box", source: "stdout", log: "hi", a: "b" },
      {},
    ]);
    expect(first?.[2]).toMatchObject({ partial_message: "true", partial_ordinal: "1", partial_last: "false" });
    expect(last?.[2]).toMatchObject({
      partial_message: "true",
      partial_ordinal: "2",
      partial_last: "true",
      partial_id: first?.[2]["partial_id"],
    });
    expect((first?.[2]["log"]?.length ?? 0) + (last?.[2]["log"]?.length ?? 0)).toBe(20_000);
  });

  test("acknowledged: what was not is sent again after the connection is cut", async () => {
    let answers = 0;
    await using receiver = await streamReceiver({
      onData: (socket) => {
        const chunks = decodeAll(receiver.bytes()) as [string, unknown[], { chunk: string }][];
        const chunk = chunks.at(-1)?.[2].chunk;
        // the first one gets no answer
        if (answers++ === 0) socket.destroy();
        else if (chunk !== undefined) socket.write(encodeMsgpack({ ack: chunk }));
      },
    });
    await daemon.ok("run", "--rm", ...fluentd(receiver.port, "fluentd-request-ack=true"), "busybox", "echo", "once");
    await until("the second try", () => decodeAll(receiver.bytes()).length === 2);
    expect(receiver.connections()).toBe(2);
    const chunks = decodeAll(receiver.bytes()) as [string, [number, { log: string }][], { chunk: string }][];
    expect(chunks.flatMap(([, entries]) => entries.map(([, record]) => record.log))).toEqual(["once", "once"]);
  });

  test("fluentd-async starts without a receiver", async () => {
    const port = await freePort();
    await daemon.ok("run", "--name", "box", ...fluentd(port, "fluentd-async=true", "fluentd-retry-wait=50ms"), "busybox", "echo", "late");
    await using receiver = await streamReceiver({ port });
    await until("the event", () => decodeAll(receiver.bytes()).length === 1);
    const refused = await daemon.docker("run", "--rm", ...fluentd(await freePort()), "busybox", "true");
    expect(refused.stderr).toContain("failed to initialize logging driver: dial tcp 127.0.0.1:");
  });
});

describe("gelf", () => {
  test.each(["gzip", "zlib", "none"])("udp, %s", async (compression) => {
    await using receiver = await datagramReceiver();
    const options = ["--log-opt", `gelf-address=udp://127.0.0.1:${receiver.port}`, "--log-opt", `gelf-compression-type=${compression}`];
    await daemon.ok(
      "run",
      "--name",
      "box",
      "--log-driver",
      "gelf",
      ...options,
      "busybox",
      "sh",
      "-c",
      "echo short; head -c 9000 /dev/urandom | base64 | tr -d '\\n'; echo",
    );
    const whole = await until("both messages", () => {
      const parts = receiver.datagrams.filter((data) => data[0] === 0x1e && data[1] === 0x0f);
      return parts.length > 0 && parts.length === parts[0]?.[11] ? Buffer.concat(parts.map((part) => part.subarray(12))) : undefined;
    });
    const unpack = { gzip: gunzipSync, zlib: inflateSync, none: (data: Buffer) => data }[compression as "gzip"];
    const first = JSON.parse(unpack(receiver.datagrams[0] ?? Buffer.alloc(0)).toString()) as Record<string, unknown>;
    expect(first).toMatchObject({ version: "1.1", short_message: "short", level: 6, _container_name: "box", _image_name: "busybox" });
    expect(unpack(whole).toString()).toContain('"short_message":"');
  });

  test("tcp: messages end with a null byte", async () => {
    await using receiver = await streamReceiver();
    await daemon.ok(
      "run",
      "--rm",
      "--log-driver",
      "gelf",
      "--log-opt",
      `gelf-address=tcp://127.0.0.1:${receiver.port}`,
      "busybox",
      "sh",
      "-c",
      "echo one; echo two",
    );
    const messages = await until("both", () => {
      const parts = receiver.text().split("\0");
      return parts.length === 3 ? parts : undefined;
    });
    expect(messages.slice(0, 2).map((message) => (JSON.parse(message) as { short_message: string }).short_message)).toEqual(["one", "two"]);
  });
});

describe("reading", () => {
  test("without a cache there is nothing to read", async () => {
    await using receiver = await streamReceiver();
    await daemon.ok("run", "--name", "box", ...syslog(receiver.port, "cache-disabled=true"), "busybox", "echo", "line 1");
    const { exitCode, stderr } = await daemon.docker("logs", "box");
    expect(exitCode).toBe(1);
    expect(stderr).toContain("configured logging driver does not support reading");
    await until("the line", () => numbersOf(receiver.text()).includes(1));
  });

  test("docker info names the drivers", async () => {
    const drivers = JSON.parse(await daemon.ok("info", "-f", "{{json .Plugins.Log}}")) as string[];
    expect(drivers).toEqual(["fluentd", "gelf", "journald", "json-file", "local", "syslog"]);
  });
});

async function freePort(): Promise<number> {
  const receiver = await streamReceiver();
  await receiver[Symbol.asyncDispose]();
  return receiver.port;
}

function certificate(): { readonly key: string; readonly cert: string; readonly dir: string } {
  const dir = join(daemon.dir, "certificate");
  Bun.spawnSync(["mkdir", "-p", dir]);
  const made = Bun.spawnSync([
    ..."openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost".split(
      " ",
    ),
    ...["-keyout", join(dir, "key.pem"), "-out", join(dir, "cert.pem")],
  ]);
  if (made.exitCode !== 0) throw new Error(made.stderr.toString());
  const read = (name: string): string => new TextDecoder().decode(Bun.spawnSync(["cat", join(dir, name)]).stdout);
  return { key: read("key.pem"), cert: read("cert.pem"), dir };
}
