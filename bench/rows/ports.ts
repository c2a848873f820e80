import { type Engine, processesOf, pssMib, timed } from "../engine.ts";
import type { Row } from "../measure.ts";

const PORTS = 500;
const FIRST_HOST_PORT = 21_000;
const FIRST_PORT = 3000;
const QUIET_MS = 15_000;
const BOX = "bench-ports";
const PUBLISHED = Array.from({ length: PORTS }, (_, i) => ["-p", `${FIRST_HOST_PORT + i}:${FIRST_PORT + i}`]).flat();

/** What there is of an engine: its memory in MiB and its processes, a container's holder among them. */
function sizeOf(engine: Engine): { readonly memory: number; readonly processes: number } {
  return { memory: pssMib(engine), processes: processesOf(engine).length };
}

/** A container with 500 published ports that don't keep their number, against the same without. */
export const portsRow: Row = {
  key: "ports",
  figures: {
    start: { title: "start of a container with 500 published ports", unit: "ms", target: { kind: "ratio", max: 0.2 } },
    memory: { title: "memory for 500 published ports", unit: "MiB", target: { kind: "value", max: 5 } },
    processes: { title: "processes for 500 published ports", unit: "processes", target: { kind: "value", max: 0 } },
  },
  rounds: 3,
  warmUps: 1,
  sample: async ({ docker, sleep }, engine) => {
    const run = (ports: readonly string[]): void => docker.run(engine, ["run", "-d", "--name", BOX, ...ports, "busybox", "sleep", "900"]);
    const remove = (): void => docker.run(engine, ["rm", "-f", BOX]);
    run([]);
    await sleep(QUIET_MS);
    const without = sizeOf(engine);
    remove();
    const start = timed(() => run(PUBLISHED));
    await sleep(QUIET_MS);
    const published = sizeOf(engine);
    remove();
    return { start, memory: published.memory - without.memory, processes: published.processes - without.processes };
  },
  cleanUp: ({ docker }, engine) => docker.run(engine, ["rm", "-f", BOX], { check: false }),
};
