import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLogDriver } from "../logs/mod.ts";
import { describeWithCrun } from "./testdata/cgroups.ts";
import { ATTACH, collect, Fixture, readLog } from "./testdata/fixture.ts";

describeWithCrun(import.meta.path, () => {
  let fixture: Fixture;
  beforeAll(() => {
    fixture = new Fixture();
  });
  afterAll(() => {
    fixture[Symbol.dispose]();
  });

  async function runToEnd(id: string, args: readonly string[], io = fixture.io(id)) {
    const task = await fixture.tasks.run({ id, spec: fixture.spec(args), io, runtime: "crun" });
    const exit = await task.exited;
    await task.gone;
    await io.drained;
    fixture.tasks.cleanup(id);
    return { io, exit };
  }

  test("run() gives exit code and both streams", async () => {
    const { io, exit } = await runToEnd("plain", ["sh", "-c", "echo out; echo err >&2; exit 3"]);
    expect(exit.exitCode).toBe(3);
    expect(await readLog(io, { stderr: false })).toBe("out\n");
    expect(await readLog(io, { stdout: false })).toBe("err\n");
    expect(existsSync(fixture.tasks.bundleDir("plain"))).toBe(false);
  });

  test("run() gives 128 + signal when the process is killed", async () => {
    const io = fixture.io("killed");
    const task = await fixture.tasks.run({ id: "killed", spec: fixture.spec(["sleep", "100"]), io, runtime: "crun" });
    expect(task.signal(9)).toBe(true);
    expect((await task.exited).exitCode).toBe(137);
    expect(task.signal(9)).toBe(false);
    await task.gone;
    expect(readdirSync(join(fixture.directory, "run/crun"))).toEqual([]);
    fixture.tasks.cleanup("killed");
  });

  test.each([
    [["nope"], "nope", "executable file not found in $PATH", 127, ""],
    [["/nope"], "/nope", "stat /nope: no such file or directory", 127, ""],
    [["/bin"], "/bin", "is a directory", 126, ": permission denied"],
    [["/plain"], "/plain", "permission denied", 126, ""],
  ])("run(%p) fails in docker's words", async (args, name, reason, exitCode, addition) => {
    writeFileSync(join(fixture.rootfs, "plain"), "x", { mode: 0o644 });
    const io = fixture.io("fails");
    const session = io.attach(ATTACH);
    const error: unknown = await fixture.tasks.run({ id: "fails", spec: fixture.spec(args), io, runtime: "crun" }).catch((e: unknown) => e);
    const message = `failed to create task for container: failed to create shim task: OCI runtime create failed: crun create failed: unable to start container process: exec: ${JSON.stringify(name)}: ${reason}: unknown${addition}`;
    expect(error).toMatchObject({ kind: "invalid", message, details: { exitCode } });
    expect(await collect(session.output)).toEqual({ stdout: "", stderr: "", all: "" });
    expect(existsSync(fixture.tasks.bundleDir("fails"))).toBe(false);
  });

  test("attach() before the start gets everything, and stdin goes in with half-close", async () => {
    const io = fixture.io("stdin", { openStdin: true, stdinOnce: true });
    const session = io.attach(ATTACH);
    const early = session.write(Buffer.from("early\n"));
    const output = collect(session.output);
    const task = await fixture.tasks.run({ id: "stdin", spec: fixture.spec(["cat"]), io, runtime: "crun" });
    await early;
    const large = Buffer.alloc(3_000_000, "0123456789\n");
    await session.write(large);
    session.closeStdin();
    expect((await output).stdout).toBe(`early\n${large.toString()}`);
    expect((await task.exited).exitCode).toBe(0);
    await task.gone;
    fixture.tasks.cleanup("stdin");
  });

  test("a client that goes after the process's end leaves the next one's stdin open", async () => {
    const io = fixture.io("again", { openStdin: true, stdinOnce: true });
    for (const line of ["one\n", "two\n"]) {
      const session = io.attach(ATTACH);
      const output = collect(session.output);
      const task = await fixture.tasks.run({ id: "again", spec: fixture.spec(["head", "-n", "1"]), io, runtime: "crun" });
      await session.write(Buffer.from(line));
      expect((await output).stdout).toBe(line);
      await io.drained;
      session.closeStdin();
      session.close();
      await task.gone;
      fixture.tasks.cleanup("again");
    }
  });

  test("stdin stays open without stdinOnce when a client's ends", async () => {
    const io = fixture.io("open", { openStdin: true });
    const first = io.attach(ATTACH);
    const task = await fixture.tasks.run({ id: "open", spec: fixture.spec(["head", "-n", "2"]), io, runtime: "crun" });
    await first.write(Buffer.from("one\n"));
    first.closeStdin();
    await collect(first.output);
    const second = io.attach({ ...ATTACH, logs: true });
    await second.write(Buffer.from("two\n"));
    expect((await collect(second.output)).stdout).toEndWith("two\n");
    expect((await task.exited).exitCode).toBe(0);
    await io.drained;
    expect(await readLog(io)).toBe("one\ntwo\n");
    await task.gone;
    fixture.tasks.cleanup("open");
  });

  test("a terminal has its first size, is resized, and gets ctrl-c", async () => {
    const io = fixture.io("tty", { tty: true, openStdin: true });
    const session = io.attach(ATTACH);
    const output = collect(session.output);
    const script = "stty size; read x; stty size; trap 'echo interrupted; exit 9' INT; echo ready; while :; do sleep 0.1; done";
    const task = await fixture.tasks.run({
      id: "tty",
      spec: fixture.spec(["sh", "-c", script], { tty: true, size: { height: 33, width: 99 } }),
      io,
      runtime: "crun",
    });
    await untilLog(io, "33 99");
    io.resize(40, 120);
    await session.write(Buffer.from("go\n"));
    await untilLog(io, "ready");
    await session.write(Buffer.from("\x03"));
    expect((await output).stdout).toBe("33 99\r\ngo\r\n40 120\r\nready\r\n^Cinterrupted\r\n");
    expect((await task.exited).exitCode).toBe(9);
    await task.gone;
    fixture.tasks.cleanup("tty");
  });

  test("a terminal gives all of a megabyte, and what was written last", async () => {
    const io = fixture.io("ttybig", { tty: true });
    const session = io.attach({ ...ATTACH, stdin: false });
    const output = collect(session.output);
    const task = await fixture.tasks.run({
      id: "ttybig",
      spec: fixture.spec(["sh", "-c", "seq 1 150000; printf end"], { tty: true }),
      io,
      runtime: "crun",
    });
    const { stdout } = await output;
    expect(stdout).toBe(`${Array.from({ length: 150_000 }, (_, i) => `${i + 1}\r\n`).join("")}end`);
    expect(await readLog(io)).toBe(stdout);
    await task.gone;
    fixture.tasks.cleanup("ttybig");
  });

  test("detach keys end the session and not the process", async () => {
    const io = fixture.io("detach", { tty: true, openStdin: true });
    const session = io.attach(ATTACH);
    const output = collect(session.output);
    const task = await fixture.tasks.run({ id: "detach", spec: fixture.spec(["cat"], { tty: true }), io, runtime: "crun" });
    await session.write(Buffer.from("a\x10b\n"));
    await untilLog(io, "b");
    await session.write(Buffer.from([16]));
    await session.write(Buffer.from([17]));
    await output;
    expect(task.isRunning).toBe(true);
    task.signal(9);
    await task.gone;
    fixture.tasks.cleanup("detach");
  });

  test("clients that attach later replay the log without gap or double", async () => {
    const io = fixture.io("replay");
    const task = await fixture.tasks.run({ id: "replay", spec: fixture.spec(["seq", "1", "300000"]), io, runtime: "crun" });
    const outputs: Promise<{ stdout: string }>[] = [];
    while (io.isLive && outputs.length < 20) {
      outputs.push(collect(io.attach({ ...ATTACH, stdin: false, logs: true }).output));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const expected = Array.from({ length: 300_000 }, (_, i) => `${i + 1}\n`).join("");
    for (const output of outputs) expect((await output).stdout === expected).toBe(true);
    await task.gone;
    fixture.tasks.cleanup("replay");
  });

  test("a client that does not read stops the container, and lets it go when it leaves", async () => {
    const io = fixture.io("slow");
    const session = io.attach({ ...ATTACH, stdin: false });
    const task = await fixture.tasks.run({ id: "slow", spec: fixture.spec(["sh", "-c", "seq 1 2000000; exit 5"]), io, runtime: "crun" });
    await Bun.sleep(300);
    expect(task.isRunning).toBe(true);
    session.close();
    expect((await task.exited).exitCode).toBe(5);
    await io.drained;
    expect(await readLog(io, { tail: 1 })).toBe("2000000\n");
    await task.gone;
    fixture.tasks.cleanup("slow");
  });

  test("logs that are followed end with the process, and at a time", async () => {
    const io = fixture.io("follow");
    const task = await fixture.tasks.run({
      id: "follow",
      spec: fixture.spec(["sh", "-c", "echo one; until [ -e /go ]; do sleep 0.02; done; echo two"]),
      io,
      runtime: "crun",
    });
    await untilLog(io, "one");
    const whole = readLog(io, { follow: true });
    const untilNs = BigInt(Date.now() + 200) * 1_000_000n;
    expect(await readLog(io, { follow: true, untilNs })).toBe("one\n");
    expect(task.isRunning).toBe(true);
    writeFileSync(join(fixture.rootfs, "go"), "");
    expect(await whole).toBe("one\ntwo\n");
    await task.gone;
    fixture.tasks.cleanup("follow");
  });

  test("runc runs containers and execs, with terminals too", async () => {
    const io = fixture.io("runc", { tty: true, openStdin: true });
    const session = io.attach(ATTACH);
    const output = collect(session.output);
    const script = "stty size; read x; until [ \"$(stty size)\" = '40 120' ]; do sleep 0.02; done; echo resized; exit 4";
    const spec = fixture.spec(["sh", "-c", script], { tty: true, size: { height: 33, width: 99 } });
    const task = await fixture.tasks.run({ id: "runc", spec, io, runtime: "runc" });
    await untilLog(io, "\n");
    const execIo = fixture.execIo({ tty: true });
    const execOutput = collect(execIo.attach(ATTACH).output);
    const process = { ...spec.process, args: ["sh", "-c", "test -t 0 && exit 5"] };
    const exec = await fixture.tasks.exec({ containerId: "runc", execId: "r1", process, io: execIo, runtime: "runc" });
    expect(await exec.exited).toBe(5);
    await execOutput;
    io.resize(40, 120);
    await session.write(Buffer.from("go\n"));
    expect((await output).stdout).toBe("33 99\r\ngo\r\nresized\r\n");
    expect((await task.exited).exitCode).toBe(4);
    await task.gone;
    fixture.tasks.cleanup("runc");
    const error: unknown = await fixture.tasks
      .run({ id: "runc", spec: fixture.spec(["nope"]), io, runtime: "runc" })
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ details: { exitCode: 127 } });
  });

  test("the json-file driver writes docker's lines and keeps an unfinished one", async () => {
    const subject = { id: "json", name: "json", imageId: "", imageName: "", labels: { a: "b" }, command: ["true"], created: "", env: [] };
    const driver = createLogDriver("json-file", { labels: "a" }, () => subject, {
      containerDir: join(fixture.directory, "json"),
      spoolDir: join(fixture.directory, "spool"),
      clock: fixture.clock,
      log: fixture.log,
    });
    const io = fixture.io("json", { driver });
    await runToEnd("json", ["sh", "-c", "printf 'a<b\\tc\\n'; echo err >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; printf end"], io);
    const entries = (await Bun.file(driver.path).text()).trimEnd().split("\n");
    expect(entries.filter((entry) => entry.includes('"stdout"'))[0]).toMatch(
      /^\{"log":"a\\u003cb\\u0009c\\n","stream":"stdout","attrs":\{"a":"b"\},"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z"\}$/,
    );
    expect(await readLog(io, { stderr: false })).toBe(`a<b\tc\n${"x".repeat(40000)}\nend`);
    expect(await readLog(io, { stderr: false, tail: 1 })).toBe("end");
    expect(await readLog(io, { details: true, stdout: false })).toBe("a=b err\n");
  });

  test("exec() gives output, exit code and errors in docker's words", async () => {
    const io = fixture.io("exec");
    const task = await fixture.tasks.run({ id: "exec", spec: fixture.spec(["sleep", "100"]), io, runtime: "crun" });
    const base = fixture.spec(["true"]).process;
    const exec = async (args: string[], options: { tty?: boolean; openStdin?: boolean; stdin?: string } = {}) => {
      const execIo = fixture.execIo(options);
      const session = execIo.attach(ATTACH);
      const output = collect(session.output);
      const started = await fixture.tasks.exec({
        containerId: "exec",
        execId: "e1",
        process: { ...base, args, terminal: options.tty ?? false },
        io: execIo,
        runtime: "crun",
      });
      if (options.stdin !== undefined) {
        await session.write(Buffer.from(options.stdin));
        session.closeStdin();
      }
      const code = await started.exited;
      return { code, ...(await output) };
    };
    expect(await exec(["sh", "-c", "echo out; echo err >&2; exit 4"])).toMatchObject({ code: 4, stdout: "out\n", stderr: "err\n" });
    expect(await exec(["cat"], { openStdin: true, stdin: "in" })).toMatchObject({ code: 0, stdout: "in" });
    expect(await exec(["sh", "-c", "test -t 0 && echo terminal"], { tty: true })).toMatchObject({ code: 0, stdout: "terminal\r\n" });
    // a child that keeps the pipe open does not hold it up
    expect(await exec(["sh", "-c", "sleep 50 & echo done"])).toMatchObject({ code: 0, stdout: "done\n" });
    const missing =
      'OCI runtime exec failed: exec failed: unable to start container process: exec: "nope": executable file not found in $PATH: unknown';
    expect(await exec(["nope"]).catch((e: unknown) => e)).toMatchObject({ message: missing, details: { exitCode: 127 } });
    expect(await exec(["/bin"]).catch((e: unknown) => e)).toMatchObject({ details: { exitCode: 126 } });
    expect(readdirSync(join(fixture.directory, "run/execs"))).toEqual([]);
    task.signal(9);
    await task.gone;
    fixture.tasks.cleanup("exec");
  });

  test("nothing is left when all is over", async () => {
    const processes = (): string => Bun.spawnSync(["pgrep", "-a", "-f", fixture.directory]).stdout.toString();
    // the holders end after everything else
    for (let looks = 0; looks < 500 && (processes() !== "" || fixture.reactor.size > 0); looks++) await Bun.sleep(20);
    expect(readdirSync(join(fixture.directory, "run/bundles"))).toEqual([]);
    expect(readdirSync(join(fixture.directory, "run/crun"))).toEqual([]);
    expect(fixture.reactor.size).toBe(0);
    expect(processes()).toBe("");
  });
});

async function untilLog(io: Parameters<typeof readLog>[0], text: string): Promise<void> {
  while (!(await readLog(io)).includes(text)) await Bun.sleep(5);
}
