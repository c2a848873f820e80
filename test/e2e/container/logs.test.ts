import { afterAll, describe, expect, test } from "bun:test";
import { Daemon, until } from "../daemon.ts";

const daemon = await Daemon.start();
afterAll(() => daemon[Symbol.asyncDispose]());

describe.each(["local", "json-file"])("%s", (driver) => {
  const create = (name: string, script: string, ...options: readonly string[]): Promise<unknown> =>
    daemon.docker("run", "--name", name, "--log-driver", driver, ...options, "busybox", "sh", "-c", script);
  const remove = (name: string): Promise<unknown> => daemon.ok("rm", "-f", name);

  test("both streams, apart", async () => {
    await create("both", "echo out; echo err >&2");
    const { stdout, stderr } = await daemon.docker("logs", "both");
    expect({ stdout, stderr }).toEqual({ stdout: "out\n", stderr: "err\n" });
    await remove("both");
  });

  test("--tail: fewer, all, none, more than there are", async () => {
    await create("tail", "for i in 1 2 3 4 5; do echo $i; done");
    expect((await daemon.docker("logs", "-n", "2", "tail")).stdout).toBe("4\n5\n");
    expect((await daemon.docker("logs", "--tail", "0", "tail")).stdout).toBe("");
    expect((await daemon.docker("logs", "--tail", "99", "tail")).stdout).toBe("1\n2\n3\n4\n5\n");
    expect((await daemon.docker("logs", "--tail", "all", "tail")).stdout).toBe("1\n2\n3\n4\n5\n");
    await remove("tail");
  });

  test("-t stamps in order", async () => {
    await create("stamps", "echo a; echo b");
    const lines = (await daemon.docker("logs", "-t", "stamps")).stdout.trim().split("\n");
    expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /, ""))).toEqual(["a", "b"]);
    const times = lines.map((line) => line.split(" ")[0] ?? "");
    expect([...times].sort()).toEqual(times);
    await remove("stamps");
  });

  test("--since and --until", async () => {
    await create("times", "echo one; sleep 0.3; echo two; sleep 0.3; echo three");
    const lines = (await daemon.docker("logs", "-t", "times")).stdout.trim().split("\n");
    const [, second = ""] = lines.map((line) => line.split(" ")[0] ?? "");
    expect((await daemon.docker("logs", "--since", second, "times")).stdout).toBe("two\nthree\n");
    expect((await daemon.docker("logs", "--until", second, "times")).stdout).toBe("one\ntwo\n");
    expect((await daemon.docker("logs", "--since", second, "--until", second, "times")).stdout).toBe("two\n");
    expect((await daemon.docker("logs", "--since", "1h", "times")).stdout).toBe("one\ntwo\nthree\n");
    expect((await daemon.docker("logs", "--until", "1h", "times")).stdout).toBe("");
    await remove("times");
  });

  test("-f ends with the container and loses nothing while it writes", async () => {
    await daemon.ok(
      ..."run -d --name follow --log-driver".split(" "),
      driver,
      "busybox",
      "sh",
      "-c",
      "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; echo -n end",
    );
    const { stdout } = await daemon.docker("logs", "-f", "follow");
    const expected = Array.from({ length: 20_000 }, (_, index) => `line ${index}\n`).join("");
    expect(stdout).toBe(`${expected}end`);
    expect((await daemon.docker("logs", "follow")).stdout).toBe(`${expected}end`);
    await remove("follow");
  });

  test("-f --tail starts at the tail", async () => {
    await daemon.ok(
      ..."run -d -i --name from --log-driver".split(" "),
      driver,
      "busybox",
      "sh",
      "-c",
      "echo 1; echo 2; echo 3; read x; echo 4",
    );
    await until("its lines", async () => (await daemon.docker("logs", "from")).stdout.includes("3"));
    const child = daemon.spawn({}, "logs", "-f", "-n", "1", "from");
    const reader = child.stdout.getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("3\n");
    await daemon.dockerWith({ stdin: "go\n" }, "attach", "from");
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("4\n");
    expect(await child.exited).toBe(0);
    await remove("from");
  });

  test("a line without an end, a long line, an empty line, raw bytes", async () => {
    await create("odd", "head -c 100000 /dev/zero | tr '\\0' x; echo; echo; printf '\\377\\001\\n'; printf partial");
    const child = daemon.spawn({}, "logs", "odd");
    const bytes = Buffer.from(await new Response(child.stdout).arrayBuffer());
    // json-file keeps text, as docker's does: a byte that is none becomes U+FFFD
    const odd = driver === "local" ? Buffer.from([0xff, 1, 10]) : Buffer.from("\ufffd\u0001\n");
    expect(bytes.equals(Buffer.concat([Buffer.from(`${"x".repeat(100_000)}\n\n`), odd, Buffer.from("partial")]))).toBe(true);
    await remove("odd");
  });

  test("a terminal's output is raw", async () => {
    await create("tty", "echo a; echo b >&2; printf end", "-t");
    expect(await daemon.docker("logs", "tty")).toEqual({ stdout: "a\r\nb\r\nend", stderr: "", exitCode: 0 });
    await remove("tty");
  });

  test("--details shows what labels and env ask for", async () => {
    await create("details", "echo hi", "-l", "q=1", "-e", "Z=2", "--log-opt", "labels=q", "--log-opt", "env=Z");
    expect((await daemon.docker("logs", "--details", "details")).stdout).toBe("Z=2,q=1 hi\n");
    await remove("details");
  });

  test("rotation keeps the newest", async () => {
    await create(
      "rotated",
      "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done",
      "--log-opt",
      "max-size=20k",
      "--log-opt",
      "max-file=2",
    );
    const lines = (await daemon.docker("logs", "rotated")).stdout.trim().split("\n");
    expect(lines.at(-1)).toBe("line 19999");
    expect(lines.length).toBeLessThan(20_000);
    const first = Number(lines[0]?.replace("line ", ""));
    expect(lines).toEqual(Array.from({ length: 20_000 - first }, (_, index) => `line ${first + index}`));
    await remove("rotated");
  });

  test("-f sees every line, however fast files are rotated away", async () => {
    const script = "while [ ! -e /go ]; do sleep 0.05; done; i=0; while [ $i -lt 30000 ]; do echo line $i; i=$((i+1)); done";
    const limits = ["--log-opt", "max-size=2k", "--log-opt", "max-file=2"];
    await daemon.ok("run", "-d", "--name", "fast", "--log-driver", driver, ...limits, "busybox", "sh", "-c", `echo begin; ${script}`);
    const child = daemon.spawn({}, "logs", "-f", "fast");
    const reader = child.stdout.getReader();
    let text = Buffer.from((await reader.read()).value ?? []).toString();
    await daemon.ok("exec", "fast", "touch", "/go");
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) text += Buffer.from(chunk.value).toString();
    expect(text).toBe(`begin\n${Array.from({ length: 30_000 }, (_, i) => `line ${i}\n`).join("")}`);
    await remove("fast");
  });

  test("clearing forgets the past, also while a client follows and when the daemon is killed", async () => {
    const script = "echo old; while [ ! -e /go ]; do sleep 0.05; done; echo new; while [ ! -e /end ]; do sleep 0.05; done; echo last";
    await daemon.ok("run", "-d", "--name", "clear", "--log-driver", driver, "busybox", "sh", "-c", script);
    const child = daemon.spawn({}, "logs", "-f", "clear");
    const reader = child.stdout.getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("old\n");
    expect((await daemon.api("POST", "/containers/clear/logs/clear")).status).toBe(204);
    expect((await daemon.docker("logs", "clear")).stdout).toBe("");
    await daemon.ok("exec", "clear", "touch", "/go");
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("new\n");
    child.kill();
    await daemon.kill9();
    await daemon.launch();
    await daemon.ok("exec", "clear", "touch", "/end");
    await daemon.ok("wait", "clear");
    expect((await daemon.docker("logs", "clear")).stdout).toBe("new\nlast\n");
    expect((await daemon.docker("logs", "--tail", "1", "clear")).stdout).toBe("last\n");
    await daemon.api("POST", "/containers/clear/logs/clear");
    expect((await daemon.docker("logs", "clear")).stdout).toBe("");
    await daemon.ok("start", "clear");
    await daemon.ok("wait", "clear");
    expect((await daemon.docker("logs", "clear")).stdout).toBe("old\nnew\nlast\n");
    await remove("clear");
  });

  test("system df counts logs", async () => {
    await create("sized", "echo hello");
    const { json } = await daemon.api<{
      readonly Logs: readonly { readonly ContainerID: string; readonly Driver: string; readonly Size: number }[];
    }>("GET", "/system/df");
    const id = await daemon.ok("inspect", "-f", "{{.Id}}", "sized");
    const usage = json.Logs.find(({ ContainerID }) => ContainerID === id);
    expect(usage).toMatchObject({ Driver: driver });
    expect(usage?.Size).toBeGreaterThan(5);
    expect(usage?.Size).toBeLessThan(1000);
    await remove("sized");
  });

  test("a second run's lines follow the first's", async () => {
    await create("twice", "echo run");
    await daemon.ok("start", "-a", "twice");
    expect((await daemon.docker("logs", "twice")).stdout).toBe("run\nrun\n");
    await remove("twice");
  });
});

test("the driver none has nothing to read", async () => {
  await daemon.ok("run", "--name", "none", "--log-driver", "none", "busybox", "echo", "hi");
  expect((await daemon.docker("logs", "none")).stderr).toContain("configured logging driver does not support reading");
  await daemon.ok("rm", "none");
});

test("bad options", async () => {
  for (const [args, text] of [
    [["--log-driver", "nosuch"], "logger: no log driver named 'nosuch' is registered"],
    [["--log-driver", "json-file", "--log-opt", "x=y"], "unknown log opt 'x' for json-file log driver"],
    [["--log-opt", "max-size=foo"], "invalid size: 'foo'"],
  ] as const) {
    expect((await daemon.docker("create", ...args, "busybox")).stderr).toContain(text);
  }
  await daemon.ok("create", "--name", "plain", "busybox");
  expect((await daemon.docker("logs", "--since", "foo", "plain")).stderr).toContain('invalid value for "since"');
  expect((await daemon.api("GET", "/containers/plain/logs")).status).toBe(400);
});
