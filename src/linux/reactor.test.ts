import { afterEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createLogger, silentLogger } from "../lib/mod.ts";
import { O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY, open } from "./at.ts";
import { type Fd, read, write } from "./fd.ts";
import { mkfifo } from "./fifo.ts";
import { pidfdOpen } from "./pidfd.ts";
import { openPty } from "./pty.ts";
import { EPOLLHUP, EPOLLIN, EPOLLOUT, Reactor } from "./reactor.ts";
import { temporaryDirectory, thrownCode } from "./test-support.ts";

let cleanup = new DisposableStack();
afterEach(() => {
  cleanup.dispose();
  cleanup = new DisposableStack();
});

function reactor(): Reactor {
  return cleanup.use(new Reactor(silentLogger));
}

let pipes = 0;
function pipe(): Fd {
  const path = join(cleanup.use(temporaryDirectory()).path, `p${pipes++}`);
  mkfifo(path);
  return cleanup.use(open(path, O_RDWR | O_NONBLOCK));
}

const buffer = Buffer.alloc(100);
const settle = (): Promise<void> => Bun.sleep(20);

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await Bun.sleep(1);
}

test("a callback comes for every arrival", async () => {
  const fifo = pipe();
  const { promise, resolve } = Promise.withResolvers<number>();
  let rounds = 0;
  reactor().watch(fifo.fd, EPOLLIN, (events) => {
    expect(events & EPOLLIN).toBe(EPOLLIN);
    read(fifo.fd, buffer);
    if (++rounds === 500) resolve(rounds);
    else write(fifo.fd, Buffer.from("x"));
  });
  write(fifo.fd, Buffer.from("x"));
  expect(await promise).toBe(500);
});

test("level-triggered: called again until everything is read, and other work gets its turn", async () => {
  const fifo = pipe();
  const { promise, resolve } = Promise.withResolvers<void>();
  let left = 50;
  let timers = 0;
  const tick = (): void => {
    timers++;
    if (left > 0) setImmediate(tick);
  };
  setImmediate(tick);
  write(fifo.fd, Buffer.alloc(50));
  reactor().watch(fifo.fd, EPOLLIN, () => {
    left -= read(fifo.fd, buffer, 1);
    if (left === 0) resolve();
  });
  await promise;
  expect(timers).toBeGreaterThan(1);
});

test("many descriptors at once, more than one batch", async () => {
  const loop = reactor();
  const { promise, resolve } = Promise.withResolvers<void>();
  const seen = new Set<number>();
  const fifos = Array.from({ length: 150 }, pipe);
  for (const fifo of fifos) {
    loop.watch(fifo.fd, EPOLLIN, () => {
      read(fifo.fd, buffer);
      seen.add(fifo.fd);
      if (seen.size === fifos.length) resolve();
    });
  }
  for (const fifo of fifos) write(fifo.fd, Buffer.from("x"));
  await promise;
  expect(loop.size).toBe(150);
});

test("an error in a callback is logged and stops nothing", async () => {
  const lines: string[] = [];
  const log = createLogger({ level: "error", format: "json", write: (line) => lines.push(line) });
  const loop = cleanup.use(new Reactor(log));
  const [bad, good] = [pipe(), pipe()];
  const { promise, resolve } = Promise.withResolvers<void>();
  loop.watch(bad.fd, EPOLLIN, () => {
    read(bad.fd, buffer);
    throw new Error("broken callback");
  });
  loop.watch(good.fd, EPOLLIN, () => {
    read(good.fd, buffer);
    resolve();
  });
  write(bad.fd, Buffer.from("x"));
  await until(() => lines.length > 0);
  write(good.fd, Buffer.from("x"));
  await promise;
  expect(lines.join()).toContain("broken callback");
});

test("modify() changes what is watched for", async () => {
  const fifo = pipe();
  const events: number[] = [];
  const watch = reactor().watch(fifo.fd, EPOLLIN, (bits) => {
    events.push(bits);
    watch.modify(0);
  });
  await settle();
  expect(events).toEqual([]);
  watch.modify(EPOLLOUT);
  await until(() => events.length > 0);
  expect(events).toEqual([EPOLLOUT]);
  write(fifo.fd, Buffer.from("x"));
  watch.modify(EPOLLIN | EPOLLOUT);
  await until(() => events.length > 1);
  expect(events).toEqual([EPOLLOUT, EPOLLIN | EPOLLOUT]);
});

test("dispose() ends a watch, also one whose event is already in the batch, also twice", async () => {
  const loop = reactor();
  const [a, b] = [pipe(), pipe()];
  let calls = 0;
  const watches = [a, b].map((fifo) =>
    loop.watch(fifo.fd, EPOLLIN, () => {
      calls++;
      for (const watch of watches) watch[Symbol.dispose]();
    }),
  );
  for (const fifo of [a, b]) write(fifo.fd, Buffer.from("x"));
  await until(() => calls > 0);
  await settle();
  expect(calls).toBe(1);
  expect(loop.size).toBe(0);
  watches[0]?.modify(EPOLLIN);
});

test("watching starts again after all watches ended, and a closed descriptor's number may come back", async () => {
  const loop = reactor();
  for (let round = 0; round < 20; round++) {
    const fifo = pipe();
    const { promise, resolve } = Promise.withResolvers<void>();
    const watch = loop.watch(fifo.fd, EPOLLIN, () => {
      read(fifo.fd, buffer);
      resolve();
    });
    write(fifo.fd, Buffer.from("x"));
    await promise;
    if (round % 2 === 0) fifo.close();
    watch[Symbol.dispose]();
    fifo.close();
    if (round % 3 === 0) await settle();
  }
});

test("a pidfd, the end of a pipe and a terminal report too", async () => {
  const loop = reactor();
  const ended = Promise.withResolvers<number>();
  const hungUp = Promise.withResolvers<number>();
  const typed = Promise.withResolvers<number>();
  const child = Bun.spawn(["true"]);
  const process = cleanup.use(pidfdOpen(child.pid));
  const path = join(cleanup.use(temporaryDirectory()).path, "p");
  mkfifo(path);
  const reader = cleanup.use(open(path, O_RDONLY | O_NONBLOCK));
  open(path, O_WRONLY).close();
  const pty = cleanup.use(openPty());
  const once = (fd: number, resolve: (events: number) => void): void => {
    const watch = loop.watch(fd, EPOLLIN, (events) => {
      watch[Symbol.dispose]();
      resolve(events);
    });
  };
  once(process.fd, ended.resolve);
  once(reader.fd, hungUp.resolve);
  once(pty.master.fd, typed.resolve);
  write(pty.slave.fd, Buffer.from("x"));
  expect((await ended.promise) & EPOLLIN).toBe(EPOLLIN);
  expect((await hungUp.promise) & EPOLLHUP).toBe(EPOLLHUP);
  expect((await typed.promise) & EPOLLIN).toBe(EPOLLIN);
  await child.exited;
});

test("watch() refuses a regular file and a descriptor that is watched", () => {
  const loop = reactor();
  const file = cleanup.use(open(import.meta.path, O_RDONLY));
  expect(thrownCode(() => loop.watch(file.fd, EPOLLIN, () => {}))).toBe("EPERM");
  const fifo = pipe();
  loop.watch(fifo.fd, EPOLLIN, () => {});
  expect(thrownCode(() => loop.watch(fifo.fd, EPOLLIN, () => {}))).toBe("EEXIST");
  expect(loop.size).toBe(1);
});

test("close() frees every descriptor", async () => {
  const fifo = pipe();
  await settle();
  const before = readdirSync("/proc/self/fd").length;
  const loop = new Reactor(silentLogger);
  loop.watch(fifo.fd, EPOLLIN, () => read(fifo.fd, buffer));
  write(fifo.fd, Buffer.from("x"));
  await settle();
  loop.close();
  loop.close();
  await settle();
  expect(readdirSync("/proc/self/fd").length).toBe(before);
});

test("the process ends when nothing is watched, and lives while something is", async () => {
  const script = (last: string): string => `
    import { Reactor, openPty, EPOLLIN, write, read } from ${JSON.stringify(join(import.meta.dir, "mod.ts"))};
    import { silentLogger } from ${JSON.stringify(join(import.meta.dir, "../lib/mod.ts"))};
    const reactor = new Reactor(silentLogger), pty = openPty();
    const watch = reactor.watch(pty.master.fd, EPOLLIN, () => { read(pty.master.fd, Buffer.alloc(9)); console.log("read"); ${last}
      setTimeout(() => process.exit(7), 500).unref(); });
    setTimeout(() => write(pty.slave.fd, Buffer.from("x")), 20).unref();`;
  const run = async (last: string): Promise<[string, number]> => {
    const child = Bun.spawn([process.execPath, "-e", script(last)], { stdout: "pipe" });
    return [await new Response(child.stdout).text(), await child.exited];
  };
  expect(await run("watch[Symbol.dispose]();")).toEqual(["read\n", 0]);
  expect(await run("")).toEqual(["read\n", 7]);
});
