import { type Engine, pssMib } from "../engine.ts";
import type { Bench, Row } from "../measure.ts";

const CONTAINERS = 24;
const AT_ONCE = 6;
const QUIET_MS = 15_000;

const NAMES = Array.from({ length: CONTAINERS }, (_, index) => `bench-fleet-${index}`);

/** Runs a docker command for every container, six at once. Returns the milliseconds per container. */
async function forAll({ docker }: Bench, engine: Engine, argsFor: (name: string) => readonly string[]): Promise<number> {
  const waiting = [...NAMES];
  const work = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await docker.start(engine, argsFor(name));
  };
  const start = Bun.nanoseconds();
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return (Bun.nanoseconds() - start) / 1e6 / CONTAINERS;
}

/** 24 containers come and go; the engine's memory before, while and after. */
export const fleetRow: Row = {
  key: "fleet",
  figures: {
    start: { title: "24 containers, 6 at once: start of each", unit: "ms", target: { kind: "ratio", max: 0.15 } },
    remove: { title: "24 containers, 6 at once: `rm -f` of each", unit: "ms", target: { kind: "ratio", max: 0.3 } },
    idle: { title: "memory of the idle engine, after 15 s of quiet", unit: "MiB", target: { kind: "ratio", max: 0.4 } },
    per: { title: "memory per running container, after 15 s of quiet", unit: "MiB", target: { kind: "value", max: 1 } },
    after: { title: "memory right after 24 containers were removed", unit: "MiB" },
  },
  rounds: 3,
  // the first start of a daemon's life is nobody's everyday
  warmUps: 0,
  prepare: async ({ docker }, engine) => docker.run(engine, ["run", "--rm", "busybox", "true"]),
  sample: async (bench, engine) => {
    await bench.sleep(QUIET_MS);
    const idle = pssMib(engine);
    const start = await forAll(bench, engine, (name) => ["run", "-d", "--name", name, "busybox", "sleep", "600"]);
    await bench.sleep(QUIET_MS);
    const per = (pssMib(engine) - idle) / CONTAINERS;
    const remove = await forAll(bench, engine, (name) => ["rm", "-f", name]);
    return { start, remove, idle, per, after: pssMib(engine) };
  },
  cleanUp: ({ docker }, engine) => docker.run(engine, ["rm", "-f", ...NAMES], { check: false }),
};
