import { afterAll, beforeAll, expect, spyOn, test } from "bun:test";
import { appendFileSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { describeWithCrun } from "./testdata/cgroups.ts";
import { Fixture, readLog } from "./testdata/fixture.ts";

/** A daemon in a process of its own. */
class Daemon {
  readonly #child;
  readonly #lines: AsyncIterator<string>;

  constructor(directory: string, mode: "run" | "adopt", id: string, stdio: "plain" | "tty" | "stdin", args: readonly string[] = []) {
    const main = `${import.meta.dir}/testdata/daemon.ts`;
    this.#child = Bun.spawn([process.execPath, main, directory, mode, id, stdio, ...args], { stdio: ["ignore", "pipe", "inherit"] });
    this.#lines = lines(this.#child.stdout);
  }

  async says(): Promise<string> {
    const line = await this.#lines.next();
    return line.done ? "" : line.value;
  }

  async kill(): Promise<void> {
    this.#child.kill(9);
    await this.#child.exited;
  }

  async end(): Promise<void> {
    await this.#child.exited;
  }
}

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    const parts = text.split("\n");
    text = parts.pop() ?? "";
    yield* parts;
  }
}

/** Waits for the end of a process, not until somebody has waited for it: there may be nobody who does. */
async function dead(pid: number): Promise<void> {
  for (;;) {
    const status = await Bun.file(`/proc/${pid}/status`)
      .text()
      .catch(() => "");
    if (status === "" || /^State:\s+[ZX]/m.test(status)) return;
    await Bun.sleep(5);
  }
}

const numbers = (last: number, end = "\n"): string => Array.from({ length: last }, (_, i) => `${i + 1}${end}`).join("");

describeWithCrun(import.meta.path, () => {
  let fixture: Fixture;
  beforeAll(() => {
    fixture = new Fixture();
  });
  afterAll(() => {
    fixture[Symbol.dispose]();
  });

  test("no line is lost or doubled while daemons die and come back", async () => {
    const script = "i=0; while [ $i -lt 100 ]; do seq $((i*2000+1)) $(((i+1)*2000)); i=$((i+1)); sleep 0.01; done; exit 6";
    let daemon = new Daemon(fixture.directory, "run", "lines", "plain", ["sh", "-c", script]);
    expect(await daemon.says()).toStartWith("running ");
    for (let round = 0; round < 8; round++) {
      await Bun.sleep(30 + round * 15);
      await daemon.kill();
      await Bun.sleep(20);
      daemon = new Daemon(fixture.directory, "adopt", "lines", "plain");
      const said = await daemon.says();
      if (!said.startsWith("adopted ")) {
        expect(said).toBe("was 6");
        break;
      }
    }
    await daemon.end();
    const adopted = await fixture.tasks.adopt({ id: "lines", io: fixture.io("lines"), runtime: "crun" });
    expect(adopted).toMatchObject({ kind: "exited", exit: { exitCode: 6 } });
    expect((await readLog(fixture.io("lines"))) === numbers(200_000)).toBe(true);
    fixture.tasks.cleanup("lines");
  }, 60_000);

  test("a container that ended without a daemon has its last words and exit code", async () => {
    const daemon = new Daemon(fixture.directory, "run", "words", "plain", ["sh", "-c", "sleep 0.3; echo last; echo words >&2; exit 7"]);
    expect(await daemon.says()).toStartWith("running ");
    await daemon.kill();
    while (!existsSync(`${fixture.tasks.bundleDir("words")}/exit`)) await Bun.sleep(5);
    const io = fixture.io("words");
    const adopted = await fixture.tasks.adopt({ id: "words", io, runtime: "crun" });
    expect(adopted).toMatchObject({ kind: "exited", exit: { exitCode: 7 } });
    expect(await readLog(io)).toBe("last\nwords\n");
    fixture.tasks.cleanup("words");
  });

  test("a full pipe makes the container wait for the next daemon", async () => {
    const daemon = new Daemon(fixture.directory, "run", "full", "plain", [
      "sh",
      "-c",
      "read x < /dev/zero & sleep 0.2; seq 1 400000; exit 8",
    ]);
    expect(await daemon.says()).toStartWith("running ");
    await daemon.kill();
    await Bun.sleep(500);
    const next = new Daemon(fixture.directory, "adopt", "full", "plain");
    expect(await next.says()).toStartWith("adopted ");
    expect(await next.says()).toBe("exited 8");
    await next.end();
    expect((await readLog(fixture.io("full"))) === numbers(400_000)).toBe(true);
    fixture.tasks.cleanup("full");
  });

  test("a terminal survives", async () => {
    const daemon = new Daemon(fixture.directory, "run", "tty", "tty", [
      "sh",
      "-c",
      "echo one; sleep 0.4; echo two; until [ -e /go ]; do sleep 0.02; done; echo three; exit 9",
    ]);
    expect(await daemon.says()).toStartWith("running ");
    await Bun.sleep(100);
    await daemon.kill();
    // as if it had been killed with this on its way from the terminal to the log
    appendFileSync(`${fixture.tasks.bundleDir("tty")}/transit`, "kept\r\n");
    await Bun.sleep(400);
    const next = new Daemon(fixture.directory, "adopt", "tty", "tty");
    expect(await next.says()).toStartWith("adopted ");
    writeFileSync(`${fixture.rootfs}/go`, "");
    expect(await next.says()).toBe("exited 9");
    await next.end();
    expect(await readLog(fixture.io("tty"))).toBe("one\r\nkept\r\ntwo\r\nthree\r\n");
    fixture.tasks.cleanup("tty");
  });

  test("stdin is not at its end when the daemon dies", async () => {
    const daemon = new Daemon(fixture.directory, "run", "stdin", "stdin", ["sh", "-c", "read x; echo got $x; exit 2"]);
    expect(await daemon.says()).toStartWith("running ");
    await daemon.kill();
    await Bun.sleep(200);
    const io = fixture.io("stdin", { openStdin: true });
    const adopted = await fixture.tasks.adopt({ id: "stdin", io, runtime: "crun" });
    if (adopted?.kind !== "running") throw new Error("it has ended");
    const session = io.attach({ logs: false, stream: true, stdin: true, stdout: true, stderr: true });
    await session.write(Buffer.from("it\n"));
    expect((await adopted.task.exited).exitCode).toBe(2);
    await io.drained;
    expect(await readLog(io)).toBe("got it\n");
    await adopted.task.gone;
    fixture.tasks.cleanup("stdin");
  });

  test("a container whose holder and runtime were killed is gone, and so is its runtime state", async () => {
    const daemon = new Daemon(fixture.directory, "run", "lost", "plain", ["sleep", "100"]);
    const pid = Number((await daemon.says()).split(" ")[1]);
    await daemon.kill();
    const holder = Number(await Bun.file(`${fixture.tasks.bundleDir("lost")}/holder`).text());
    const runtime = Number(/PPid:\s+(\d+)/.exec(await Bun.file(`/proc/${pid}/status`).text())?.[1]);
    process.kill(holder, 9);
    process.kill(runtime, 9);
    await dead(holder);
    expect(await fixture.tasks.adopt({ id: "lost", io: fixture.io("lost"), runtime: "crun" })).toBeUndefined();
    fixture.tasks.cleanup("lost");
    await dead(pid);
  });

  test("the code of a runtime that failed is not the process's for whichever daemon comes next", async () => {
    const dir = fixture.tasks.bundleDir("failing");
    const adopt = () => fixture.tasks.adopt({ id: "failing", io: fixture.io("failing"), runtime: "crun", hasRun: false });
    const known: string[][] = [];
    const cleanup = spyOn(fixture.tasks, "cleanup").mockImplementation(() => void known.push(readdirSync(dir)));
    try {
      const run = fixture.tasks.run({ id: "failing", spec: fixture.spec(["/no/such"]), io: fixture.io("failing"), runtime: "crun" });
      await expect(run).rejects.toThrow("no such file or directory");
    } finally {
      cleanup.mockRestore();
    }
    expect(known).toEqual([expect.arrayContaining(["exit", "failed"])]);
    // the daemon was killed before it had cleaned up, and so was the next one
    for (const _ of ["next", "after that"]) expect(await adopt()).toMatchObject({ kind: "failed", error: { kind: "invalid" } });
    fixture.tasks.cleanup("failing");
    expect(await adopt()).toBeUndefined();
  });

  test("nothing is left of a container that was never there", async () => {
    expect(await fixture.tasks.adopt({ id: "never", io: fixture.io("never"), runtime: "crun" })).toBeUndefined();
    expect(Bun.spawnSync(["pgrep", "-f", fixture.directory]).stdout.toString()).toBe("");
  });
});
