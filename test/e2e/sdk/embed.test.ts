/** The engine in the process of its caller; each test in a process of its own, as `embed` changes what belongs to the process. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { busyboxArchive, Daemon } from "../daemon.ts";

const EMBED = join(import.meta.dir, "../../../src/embed.ts");
let dir: string;
let archive: string;
let place: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "dhow-embed-"));
  archive = await busyboxArchive();
  const number = process.pid % 200;
  place = JSON.stringify({
    dataRoot: join(dir, "root"),
    execRoot: join(dir, "exec"),
    settings: { bridge: `dhe${process.pid}`, bip: `10.224.${number}.1/24` },
  });
});

afterAll(() => {
  rmSync(dir, { recursive: true, force: true });
});

/** Runs a program with `embed`, the place of its engine and an archive of busybox; what it prints. */
async function program(text: string): Promise<string> {
  const path = join(dir, `${Math.random()}.ts`);
  const head = `import { embed } from ${JSON.stringify(EMBED)};\nconst place = ${place};\nconst archive = Bun.file(${JSON.stringify(archive)});\n`;
  writeFileSync(path, head + text);
  const child = Bun.spawn([process.execPath, "--no-env-file", "--config=/dev/null", path], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (exitCode !== 0) throw new Error(`ended with ${exitCode ?? child.signalCode}\n${stdout}${stderr}`);
  return stdout;
}

function traces(): readonly string[] {
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(dir));
  const links = readFileSync("/proc/net/dev", "utf8")
    .split("\n")
    .filter((line) => line.includes(`dhe${process.pid}:`));
  return [...mounts, ...links];
}

test("the same objects, and nothing left behind", async () => {
  const said = await program(`
    const before = process.umask(0o077);
    {
      await using dhow = await embed(place);
      await dhow.images.load(archive.stream());
      await using box = await dhow.containers.run({ image: "busybox", command: ["sleep", "1000"], ports: [80], stdin: true });
      await box.files.write("/a/b", "hello");
      console.log(await box.exec(["cat", "/a/b", "/etc/hostname"]).text());
      console.log((await box.exec("exit 3").result()).exitCode, await box.port(80) > 0);
      console.log(await box.wait({ signal: AbortSignal.timeout(50) }).catch((error) => error.name));
      console.log(await dhow.containers.get("none").catch((error) => error.kind));
      console.log(await embed(place).catch((error) => error.kind));
      await box.start();
      let bytes = 0;
      for await (const chunk of dhow.images.save("busybox")) bytes += chunk.length;
      console.log(bytes > 1e6);
    }
    console.log(process.umask().toString(8), require("node:fs").readdirSync("/proc/self/fd").length < 25);
  `);
  expect(said).toMatch(/^hello[0-9a-f]{12}\n\n3 true\nTimeoutError\nnotFound\nconflict\ntrue\n77 true\n$/);
  expect(traces()).toEqual([]);
});

test("containers run on, and the next engine loses nothing of them", async () => {
  const count = `i=0; while :; do echo $i; i=$((i+1)); sleep 0.02; done`;
  const said = await program(`
    {
      await using dhow = await embed(place);
      await dhow.containers.run({ name: "stays", image: "busybox", command: ${JSON.stringify(count)}, health: { command: "true", intervalMs: 50 }, restart: "always" });
      await Bun.sleep(200);
    }
    await Bun.sleep(200);
    {
      await using dhow = await embed(place);
      await using box = await dhow.containers.get("stays");
      await box.waitForHealthy();
      await box.waitForLog(/^20$/);
      const lines = (await box.logs().text()).trim().split("\\n").map(Number);
      console.log(lines.length > 20 && lines.every((line, index) => line === index));
    }
  `);
  expect(said).toBe("true\n");
  expect(traces()).toEqual([]);
});

test("what waits for a closed engine fails, and so does every call", async () => {
  const said = await program(`
    const dhow = await embed(place);
    const box = await dhow.containers.run({ name: "waits", image: "busybox", command: ["sleep", "1000"] });
    const failed = (promise) => promise.then(() => "done", (error) => error.kind);
    const exec = box.exec("echo ready; exec sleep 1000");
    const reading = failed((async () => { for await (const event of exec) if (event.text) console.log(event.text.trim()); })());
    const lines = failed(box.logs({ follow: true }).text());
    await Bun.sleep(300);
    await dhow.close();
    console.log(await reading, await lines, await failed(box.inspect()));
    await using again = await embed(place);
    await (await again.containers.get("waits")).remove();
  `);
  expect(said).toBe("ready\nunavailable done unavailable\n");
  expect(traces()).toEqual([]);
});

test("what has ended is forgotten: no timer, socket or watch stays of a container, its network and volume", async () => {
  const said = await program(`
    import { heapStats } from "bun:jsc";
    await using dhow = await embed(place);
    const round = async (k) => {
      await using network = await dhow.networks.create({ name: "round" + k });
      await using volume = await dhow.volumes.create({ name: "round" + k });
      await using box = await dhow.containers.run({ image: "busybox", command: ["sleep", "1000"], ports: [80], mounts: [volume.name + ":/v"], health: { command: "true", intervalMs: 20 } });
      await box.exec(["true"]).result();
      await network.connect(box);
      await box.waitForHealthy();
      await network.disconnect(box);
      await box.stop({ timeoutS: 0 });
    };
    const held = async (rounds) => {
      for (let k = 0; k < rounds; k++) await round(k);
      await Bun.sleep(1000);
      Bun.gc(true);
      return heapStats().protectedObjectCount;
    };
    const before = await held(4);
    console.log((await held(16)) - before);
  `);
  // what would keep the rest alive: timers, sockets, watches
  expect(Number(said)).toBeLessThan(8);
}, 60_000);

test("killed, it leaves everything to the next", async () => {
  const path = `console.log((await dhow.containers.run({ name: "kept", image: "busybox", command: ["sleep", "1000"] })).id);`;
  const first = program(`const dhow = await embed(place); ${path} process.kill(process.pid, "SIGKILL");`);
  const error = await first.then(
    () => "",
    (thrown: Error) => thrown.message,
  );
  const id = /[0-9a-f]{64}/.exec(error)?.[0] ?? error;
  const said = await program(`
    await using dhow = await embed(place);
    await using box = await dhow.containers.get("kept");
    console.log(box.id, await box.exec(["echo", "alive"]).text());
  `);
  expect(said).toBe(`${id} alive\n\n`);
  expect(traces()).toEqual([]);
});

test("where a daemon's containers run, it refuses", async () => {
  await using daemon = await Daemon.start();
  await daemon.ok("run", "-d", "--net=none", "busybox", "sleep", "1000");
  await daemon.stop();
  const roots = JSON.stringify({ dataRoot: daemon.dataRoot, execRoot: daemon.execRoot });
  expect(await program(`console.log(await embed(${roots}).catch((error) => error.message));`)).toContain(
    "containers of a daemon run there",
  );
  await daemon.launch();
});
