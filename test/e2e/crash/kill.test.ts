/**
 * Kills the daemon with -9 again and again while it works, then accounts for everything.
 *
 * DHOW_KILLS sets how often (default 30), DHOW_SEED repeats a run's choices (as far as time allows), DHOW_WORKERS how much goes on at once.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { Daemon, dockerCliMajor } from "../daemon.ts";
import { Accountant, logProblem } from "./accountant.ts";
import { Random } from "./random.ts";
import { Worker } from "./worker.ts";

const KILLS = Number(process.env["DHOW_KILLS"] ?? 30);
const WORKERS = Number(process.env["DHOW_WORKERS"] ?? 4);
const SEED = Number(process.env["DHOW_SEED"] ?? Date.now() % 1_000_000);
const KILLS_PER_ROUND = 6;
const MINUTE_MS = 60_000;

let daemon: Daemon;

beforeAll(async () => {
  daemon = await Daemon.start();
}, 2 * MINUTE_MS);

afterAll(() => daemon?.[Symbol.asyncDispose]());

test("logProblem() finds gaps, repetitions and missing ends", () => {
  const ended = { isRunning: false, mayBreakOff: false };
  expect(logProblem("run\n0\n1\nend 2\nrun\nend 0\n", ended)).toBeUndefined();
  for (const text of ["run\n0\n2\nend 3\n", "run\n0\n0\n", "run\n0\n1\n", "run\n0\nend 2\n", "run\n0\nrun\nend 0\n", "run\n0\nen", "0\n"]) {
    expect(logProblem(text, ended)).toBeString();
  }
  expect(logProblem("run\n0\n1", { isRunning: true, mayBreakOff: false })).toBeUndefined();
});

test(
  `everything is accounted for after ${KILLS} kills (DHOW_SEED=${SEED})`,
  async () => {
    console.log(`kill test: ${KILLS} kills, ${WORKERS} workers, DHOW_SEED=${SEED}`);
    const random = new Random(SEED);
    const workers = Array.from({ length: WORKERS }, (_, index) => new Worker(daemon, new Random(SEED + index + 1), `w${index}-`));
    const accountant = new Accountant(daemon, workers, 1);
    let [done, unready] = [0, 0];
    while (done < KILLS) {
      for (const worker of workers) worker.isStopped = false;
      const work = workers.map((worker) => worker.run());
      for (let kill = 0; kill < KILLS_PER_ROUND && done < KILLS; kill++, done++) {
        await Bun.sleep(random.between(100, 1500));
        await daemon.kill9();
        if (random.chance(0.4)) await Bun.sleep(random.between(0, 700));
        // now and then the next one dies while it is starting
        while (random.chance(0.25)) {
          const launched = daemon.launch().then(
            () => undefined,
            () => undefined,
          );
          await Bun.sleep(random.between(20, 600));
          await daemon.kill9();
          await launched;
          unready++;
        }
        await daemon.launch();
      }
      for (const worker of workers) worker.isStopped = true;
      await Promise.all(work);
      const problems = [...workers.flatMap((worker) => worker.problems), ...(await accountant.account())];
      if (problems.length > 0) console.log(`after ${done} kills:\n${problems.join("\n")}\n${interesting(daemon.log)}`);
      expect(problems).toEqual([]);
      console.log(
        `${done} kills (and ${unready} while starting): ${[...workers].reduce((sum, { known }) => sum + known.size, 0)} containers accounted for`,
      );
    }
    const counts: Record<string, number> = {};
    for (const worker of workers) for (const [what, count] of Object.entries(worker.counts)) counts[what] = (counts[what] ?? 0) + count;
    console.log(JSON.stringify(counts));
  },
  Math.max(KILLS * 15_000, 4 * MINUTE_MS),
);

test("afterwards everything still works, and everything can be removed", async () => {
  expect((await daemon.docker("run", "--rm", "busybox", "echo", "hello")).stdout).toBe("hello\n");
  await daemon.removeContainers();
  await daemon.ok("system", "prune", "-af", "--volumes");
  await daemon.ok("volume", "prune", dockerCliMajor < 23 ? "-f" : "-af");
  expect(await daemon.ok("images", "-q")).toBe("");
  expect(await daemon.ok("volume", "ls", "-q")).toBe("");
  expect(await daemon.residue()).toEqual([]);
  for (const name of ["snapshots/layers", "snapshots/active", "snapshots/l", "content/blobs/sha256", "containers"]) {
    expect(readdirSync(`${daemon.dataRoot}/${name}`)).toEqual([]);
  }
  expect(await daemon.stop()).toBe(0);
  expect(await daemon.leftovers()).toEqual([]);
}, 120_000);

/** The lines of a log that tell of trouble. */
function interesting(log: string): string {
  return log
    .split("\n")
    .filter((line) => /level=(error|warn)/.test(line))
    .slice(-40)
    .join("\n");
}
