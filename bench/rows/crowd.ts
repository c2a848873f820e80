import { cpuSeconds, daemonPssMib, type Engine, processesOf, timed } from "../engine.ts";
import type { Bench, Row } from "../measure.ts";

const RUNNING = 200;
const CREATED = 800;
const WATCHED = 100;
const AT_ONCE = 6;
const STATS_MS = 10_000;
const QUIET_MS = 15_000;

const NAMES = Array.from({ length: RUNNING + CREATED }, (_, index) => `bench-crowd-${index}`);

async function call(engine: Engine, method: string, path: string, body?: object): Promise<void> {
  const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const response = await fetch(`http://localhost${path}`, { method, unix: engine.socket, ...sent });
  if (!response.ok) throw new Error(`${engine.name}: ${method} ${path}: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}

/** Through the API: a thousand command lines would take minutes. */
async function forAll(names: readonly string[], work: (name: string) => Promise<void>): Promise<void> {
  const waiting = [...names];
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await work(name);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Processor time of the engine while a command line watches a hundred containers. */
async function statsCost(bench: Bench, engine: Engine): Promise<number> {
  const child = Bun.spawn([bench.docker.path, "stats", ...NAMES.slice(0, WATCHED)], {
    env: { PATH: process.env["PATH"] ?? "", HOME: bench.scratch, DOCKER_HOST: `unix://${engine.socket}` },
    stdio: ["ignore", "ignore", "ignore"],
  });
  try {
    // the first samples of all of them are another matter
    await bench.sleep(3000);
    const pids = processesOf(engine);
    const before = cpuSeconds(pids);
    await bench.sleep(STATS_MS);
    return ((cpuSeconds(pids) - before) / STATS_MS) * 1000 * 100;
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}

/** A thousand containers, two hundred of them running. */
export const crowdRow: Row = {
  key: "crowd",
  figures: {
    ps: { title: "`ps -a` of 1,000 containers, 200 running", unit: "ms", target: { kind: "ratio", max: 0.5 } },
    stats: { title: "processor time for `stats` of 100 containers", unit: "%", target: { kind: "ratio", max: 0.5 } },
    idle: { title: "memory of the daemon's process with them, after 15 s of quiet", unit: "MiB", target: { kind: "value", max: 150 } },
    start: {
      title: "killed with -9: until the next daemon answers, 200 running",
      unit: "ms",
      isAlone: true,
      target: { kind: "value", max: 2000 },
    },
  },
  rounds: 3,
  warmUps: 0,
  prepare: async (_, engine) => {
    await forAll(NAMES, (name) =>
      call(engine, "POST", `/v1.41/containers/create?name=${name}`, {
        Image: "busybox",
        Cmd: ["sleep", "100000"],
        HostConfig: { NetworkMode: "none" },
      }),
    );
    await forAll(NAMES.slice(0, RUNNING), (name) => call(engine, "POST", `/v1.41/containers/${name}/start`));
  },
  sample: async (bench, engine) => {
    await bench.sleep(QUIET_MS);
    const idle = daemonPssMib(engine);
    const times = Array.from({ length: 5 }, () => timed(() => bench.docker.run(engine, ["ps", "-a"])));
    const stats = await statsCost(bench, engine);
    // dockerd would take its containers along
    const start = engine.name === "dhow" ? { start: await engine.restart() } : {};
    return { ps: Math.min(...times), stats, idle, ...start };
  },
  cleanUp: ({ docker }, engine) => {
    for (let at = 0; at < NAMES.length; at += 100) docker.run(engine, ["rm", "-f", ...NAMES.slice(at, at + 100)], { check: false });
  },
};
